"""Elements that the core cannot read itself: of less than a byte, with swapped bytes, or in slices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import LoadError, block_length, shown
from diffai_load_tensorflow.types import item_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from diffai_core.plugin import DType
    from diffai_load_tensorflow.stored import Part, Stored

MAX_ROW_BYTES = 256 << 20
"""Largest row of a partitioned tensor that is put together."""


def stored_blocks(stored: Stored, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield elements as they are stored."""
    step = block_length(stored.shape, stored.dtype, max_bytes)
    for start in range(0, stored.numel, step):
        yield read_elements(stored, start, min(step, stored.numel - start))


def read_elements(stored: Stored, start: int, count: int) -> NDArray[Any]:
    """Return ``count`` elements from number ``start`` on.

    Raises:
        LoadError: If the file has become shorter.
    """
    width = item_bytes(stored.dtype)
    raw = bytearray(count * width)
    stored.file.read_into(stored.offset + start * width, raw)
    return elements(np.frombuffer(raw, np.uint8), stored.dtype, stored.is_big_endian)


def elements(raw: NDArray[np.uint8], dtype: DType, is_big_endian: bool = False) -> NDArray[Any]:
    """Return the elements in bytes of which each has at least one to itself."""
    if dtype.bits < 8:  # noqa: PLR2004 - a byte
        codes = raw & np.uint8((1 << dtype.bits) - 1)
        if dtype.kind == "int":
            sign = np.uint8(1 << (dtype.bits - 1))
            codes = (codes ^ sign) - sign
        return codes.view(dtype.numpy)
    if is_big_endian:
        width = dtype.bits // 8 // (2 if dtype.kind == "complex" else 1)
        raw = np.ascontiguousarray(raw.reshape(-1, width)[:, ::-1]).reshape(-1)
    return raw.view(dtype.numpy)


def partitioned_blocks(
    parts: Sequence[Part], shape: tuple[int, ...], name: str, max_bytes: int
) -> Iterator[NDArray[Any]]:
    """Yield all elements of a tensor that is stored in slices.

    Raises:
        LoadError: If the slices do not cover the tensor, or a row is larger than ``MAX_ROW_BYTES``.
    """
    dtype = parts[0].stored.dtype
    axis = next((number for number, length in enumerate(shape) if length != 1), 0)
    n_rows, row = (shape[axis], math.prod(shape[axis + 1 :])) if shape else (1, 1)
    if row * item_bytes(dtype) > MAX_ROW_BYTES:
        raise LoadError(parts[0].stored.file.name, f"tensor {shown(name)} is in slices, and its rows are too large")
    step = max(block_length(shape, dtype, max_bytes), 1)
    rows_at_once = max(step // row, 1) if row else 1
    for first in range(0, n_rows if row else 0, rows_at_once):
        count = min(rows_at_once, n_rows - first)
        flat = _rows(parts, shape, axis, first, count, name)
        for start in range(0, flat.size, step):
            yield flat[start : start + step]


def _rows(parts: Sequence[Part], shape: tuple[int, ...], axis: int, first: int, count: int, name: str) -> NDArray[Any]:
    """Put ``count`` rows together, which are counted along ``axis``; the dimensions before it are 1 long."""
    window = (*shape[:axis], count, *shape[axis + 1 :]) if shape else ()
    found = np.empty(window, parts[0].stored.dtype.numpy)
    is_filled = np.zeros(window, np.bool_)
    for part, stored in parts:
        begin = max(part.starts[axis], first) if shape else 0
        end = min(part.starts[axis] + part.lengths[axis], first + count) if shape else 1
        if begin >= end or not stored.numel:
            continue
        row = math.prod(part.lengths[axis + 1 :])
        skip = (begin - part.starts[axis]) * row if shape else 0
        lengths = list(part.lengths)
        places = [slice(start, start + length) for start, length in zip(part.starts, part.lengths, strict=True)]
        if shape:
            lengths[axis], places[axis] = end - begin, slice(begin - first, end - first)
        found[tuple(places)] = read_elements(stored, skip, math.prod(lengths)).reshape(lengths)
        is_filled[tuple(places)] = True
    if not is_filled.all():
        raise LoadError(parts[0].stored.file.name, f"the slices of tensor {shown(name)} do not cover it")
    return found.reshape(-1)
