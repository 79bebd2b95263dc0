"""Dequantises block by block: (code - zero point) * scale, in float32 as ONNX defines it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import block_length, dtype, regroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_load_onnx.quantization import Layout, Parts


def dequantized_blocks(parts: Parts, dtype_name: str, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the dequantised elements as 1-D blocks.

    Raises:
        LoadError: If the stored parts cannot be read.
    """
    shape, dtype_ = parts.codes.shape, dtype(dtype_name)
    numel = math.prod(shape)
    if not numel:
        return
    scales = _read(parts.scales.blocks(1 << 20))
    zero_points = None if parts.zero_points is None else _read(parts.zero_points.blocks(1 << 20))
    length = min(block_length(shape, dtype_, max_bytes), numel)
    code_bytes = max(1, length * parts.codes.dtype.bits // 8)
    start = 0
    for codes in regroup(parts.codes.blocks(code_bytes), length, parts.codes.dtype):
        index = _scale_index(start, len(codes), shape, parts.layout)
        values = codes.astype(np.float32)
        if zero_points is not None:
            values -= zero_points[index]
        with np.errstate(over="ignore", invalid="ignore"):  # infinite scales are a matter of the file
            found = (values * scales[index]).astype(dtype_.numpy)
        yield found
        start += len(codes)


def _read(blocks: Iterator[NDArray[Any]]) -> NDArray[Any]:
    """Return all elements in the precision in which they are used."""
    parts = [block.astype(np.float64 if block.dtype == np.float64 else np.float32) for block in blocks]
    return np.concatenate(parts)


def _scale_index(start: int, count: int, shape: tuple[int, ...], layout: Layout) -> Any:
    """Return the place of the scale of each element from ``start`` on, row-major; one place where all share it."""
    if layout.axis is None:
        return 0
    inner = math.prod(shape[layout.axis + 1 :])
    length = shape[layout.axis]
    place = np.arange(start, start + count)
    line = place // inner
    if not layout.group_size:
        return line % length
    group = line % length // layout.group_size
    n_groups = -(-length // layout.group_size)
    return (line // length * n_groups + group) * inner + place % inner
