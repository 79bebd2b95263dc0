"""Dequantises blocks of codes, as PyTorch does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import block_length, dtype, regroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_load_pytorch.views import Codes

FLOAT32 = dtype("float32")


def dequantized_blocks(spec: Codes, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the numbers that the codes stand for, as ``float32``.

    Raises:
        LoadError: If the bytes are damaged.
    """
    shape = spec.codes.shape
    scale, zero_point = spec.scale.read().reshape(-1), spec.zero_point.read().reshape(-1)
    length = block_length(shape, FLOAT32, max_bytes)
    inner = 1 if spec.axis is None else math.prod(shape[spec.axis + 1 :])
    first = 0
    for codes in regroup(spec.codes.blocks(max(1, length * spec.codes.dtype.bits // 8)), length, spec.codes.dtype):
        if spec.axis is None:
            yield _affine(codes, scale, zero_point, is_float=False)
        else:
            channels = np.arange(first, first + len(codes)) // inner % shape[spec.axis]
            yield _affine(codes, scale[channels], zero_point[channels], is_float=spec.is_float)
        first += len(codes)


def _affine(codes: NDArray[Any], scale: NDArray[Any], zero_point: NDArray[Any], *, is_float: bool) -> NDArray[Any]:
    if is_float:
        return (codes.astype(np.float32) - zero_point.astype(np.float32)) * scale.astype(np.float32)
    wide = codes.astype(np.int64) - zero_point.astype(np.int64)
    return wide.astype(np.float32) * scale.astype(np.float32)
