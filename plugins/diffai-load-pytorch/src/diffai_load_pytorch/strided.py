"""Blocks of tensors whose bytes cannot be taken as they lie: views with strides, compressed, big-endian, negated."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_lib_numpy.blocks import regroup
from diffai_lib_zip import Region

from diffai_core.plugin import block_length, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_load_pytorch.views import StridedBytes

STRIP_BYTES = 32 << 20
"""Elements that are gathered at a time."""

READ_BYTES = 64 << 20
"""A view that spans no more than this is read at once; of a larger one the file is mapped."""


def contiguous_blocks(spec: StridedBytes, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield elements that lie in row-major order, read from the start to the end.

    Raises:
        LoadError: If the bytes are damaged.
    """
    reader = spec.payload.reader()
    n_elements = math.prod(spec.shape)
    if not n_elements:
        reader.finish()
        return
    length = min(block_length(spec.shape, spec.dtype, max_bytes), n_elements)
    buffer = bytearray(-(-length * spec.dtype.bits // 8))
    for first in range(0, n_elements, length):
        count = min(length, n_elements - first)
        n_bytes = -(-count * spec.dtype.bits // 8)
        place = first * spec.dtype.bits // 8
        reader.read_into(spec.start + place, memoryview(buffer)[:n_bytes])
        if first + count == n_elements and spec.start + spec.span == spec.payload.size:
            reader.finish()
        yield _finished(decode(buffer, spec.dtype, count), spec)


def strided_blocks(spec: StridedBytes, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the elements of a view in row-major order.

    Raises:
        LoadError: If the bytes are damaged.
    """
    if 0 in spec.size:
        return
    length = min(block_length(spec.shape, spec.dtype, max_bytes), math.prod(spec.shape))
    pieces = (_finished(_elements(piece, spec), spec) for piece in _pieces(_viewed(spec)))
    yield from regroup(pieces, length, spec.dtype)


def _viewed(spec: StridedBytes) -> NDArray[Any]:
    """Return the items as an array with strides, over the storage or a copy of the part that is needed."""
    if isinstance(spec.payload, Region) and spec.span > READ_BYTES:
        place = spec.payload.start + spec.start
        raw: Any = spec.payload.file.map()[place : place + spec.span]
    else:
        raw = spec.payload.reader().read(spec.start, spec.span)
    strides = tuple(step * spec.itemsize for step in spec.stride)
    return np.ndarray(spec.size, np.dtype(f"V{spec.itemsize}"), raw, 0, strides)


def _pieces(items: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield all items in row-major order, copied in strips."""
    fixed = 0
    while fixed < items.ndim and math.prod(items.shape[fixed + 1 :]) * items.itemsize > STRIP_BYTES:
        fixed += 1
    for index in product(*map(range, items.shape[:fixed])):
        part = items[index].reshape(-1) if fixed == items.ndim else items[index]
        if not part.ndim:
            part = part.reshape(1)
        step = max(1, STRIP_BYTES // max(1, math.prod(part.shape[1:]) * items.itemsize))
        for first in range(0, len(part), step):
            yield np.ascontiguousarray(part[first : first + step]).reshape(-1)


def _elements(items: NDArray[Any], spec: StridedBytes) -> NDArray[Any]:
    count = len(items) * spec.itemsize * 8 // spec.dtype.bits
    return decode(items.view(np.uint8).data, spec.dtype, count)


def _finished(block: NDArray[Any], spec: StridedBytes) -> NDArray[Any]:
    if spec.swap:
        units = block.view(np.uint8).reshape(-1, spec.swap)
        block = np.ascontiguousarray(units[:, ::-1]).reshape(-1).view(block.dtype)
    if spec.is_conjugate:
        block = np.conjugate(block)
    if spec.is_negative:
        block = np.negative(block)
    return block
