"""Elements that do not lie in the file as they are: packed in odd numbers, or computed from codes and scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import block_length, decode, dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_load_tflite.quantization import Scales
    from diffai_load_tflite.tensors import Codes

_EXACT_BITS = 16
"""Codes of so many bits, less a zero point of so many, are exact in float32."""


def code_blocks(codes: Codes, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield codes as they are."""
    step = block_length(codes.shape, codes.dtype, max_bytes)
    for start in range(0, codes.numel, step):
        yield _codes(codes, start, min(step, codes.numel - start))


def dequantized_blocks(codes: Codes, scales: Scales, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield ``scale * (code - zero point)`` in float32, rounded once, as TensorFlow Lite's reference kernel does."""
    step = block_length(codes.shape, dtype("float32"), max_bytes)
    scale = scales.scale.read().astype(np.float32)
    zero = scales.zero_point.read().astype(np.int64) if scales.zero_point else np.zeros(1, np.int64)
    is_narrow = codes.dtype.bits <= _EXACT_BITS and not (np.abs(zero) >> _EXACT_BITS).any()
    wide = np.dtype(np.float32 if is_narrow else np.float64)
    scale, zero = scale.astype(wide), zero.astype(wide)
    with np.errstate(all="ignore"):  # a scale may be anything
        for start in range(0, codes.numel, step):
            count = min(step, codes.numel - start)
            values = _codes(codes, start, count).astype(wide)
            values = (_each(values, start, zero, scales.repeat, np.subtract)).astype(wide)
            yield _each(values, start, scale, scales.repeat, np.multiply).astype(np.float32)


def _each(values: NDArray[Any], start: int, by: NDArray[Any], repeat: int, operation: np.ufunc) -> NDArray[Any]:
    """Combine each value with the parameter that holds for it."""
    if by.size == 1:
        return operation(values, by[0])  # type: ignore[no-any-return]
    if start % repeat == 0 and values.size % repeat == 0:
        runs = start // repeat + np.arange(values.size // repeat)
        return operation(values.reshape(-1, repeat), by[runs % by.size][:, None]).reshape(-1)  # type: ignore[no-any-return]
    places = (start + np.arange(values.size)) // repeat
    return operation(values, by[places % by.size])  # type: ignore[no-any-return]


def _codes(codes: Codes, start: int, count: int) -> NDArray[Any]:
    """Return ``count`` codes from number ``start`` on, which may begin and end inside of a byte."""
    group = codes.dtype.packed_group
    first = start // group * group
    stop = -(-(start + count) // group) * group
    raw = bytearray(codes.dtype.nbytes(stop - first))
    codes.file.read_into(codes.offset + codes.dtype.nbytes(first), raw)
    return decode(raw, codes.dtype, stop - first)[start - first : start - first + count]
