"""Blocks of tensors whose bytes cannot be taken as they lie: views with strides, compressed, big-endian, negated."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from diffai_lib_zip import Held

from diffai_core.plugin import block_length, decode, regroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_zip import Payload, Reader
    from numpy.typing import NDArray

    from diffai_load_pytorch.views import StridedBytes

STRIP_BYTES = 32 << 20
"""Elements that are gathered at a time."""

READ_BYTES = 32 << 20
"""Bytes of an uncompressed storage that are read at a time."""


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
    pieces = (_finished(_elements(piece, spec), spec) for piece in _pieces(spec))
    yield from regroup(pieces, length, spec.dtype)


class _Box(NamedTuple):
    """Some of the items of a view.

    Args:
        start: Byte of the first one.
        size: Items along each dimension.
    """

    start: int
    size: tuple[int, ...]


def _pieces(spec: StridedBytes) -> Iterator[NDArray[Any]]:
    """Yield all items in row-major order, gathered in strips."""
    item = np.dtype(f"V{spec.itemsize}")
    if spec.payload.compressed:
        data = spec.payload.reader().read(spec.start, spec.span)  # going back would decompress it again
        source: Payload = Held(spec.payload.file, data, spec.payload.offset)
        first = 0
    else:
        source, first = spec.payload, spec.start
    reader = source.reader()
    for box in _strips(spec, first):
        strip = np.empty(box.size, item)
        _gather(reader, strip, box, spec)
        yield strip.reshape(-1)


def _strips(spec: StridedBytes, first: int) -> Iterator[_Box]:
    """Divide a view into boxes of whole rows that are no larger than a strip, in row-major order."""
    fixed = 0
    while fixed < len(spec.size) and math.prod(spec.size[fixed + 1 :]) * spec.itemsize > STRIP_BYTES:
        fixed += 1
    across, rest = spec.size[fixed : fixed + 1], spec.size[fixed + 1 :]
    step = max(1, STRIP_BYTES // (math.prod(rest) * spec.itemsize))
    for index in product(*map(range, spec.size[:fixed])):
        place = first + sum(i * step for i, step in zip(index, spec.stride, strict=False)) * spec.itemsize
        if not across:
            yield _Box(place, (1,) * len(index))
        for begin in range(0, math.prod(across), step) if across else ():
            count = min(step, across[0] - begin)
            yield _Box(place + begin * spec.stride[fixed] * spec.itemsize, (*(1 for _ in index), count, *rest))


def _gather(reader: Reader, strip: NDArray[Any], box: _Box, spec: StridedBytes) -> None:
    """Fill a strip: read what the box spans if that is little, else one half of it after the other."""
    reach = [(n - 1) * step for n, step in zip(box.size, spec.stride, strict=True)]
    n_bytes = (sum(reach) + 1) * spec.itemsize
    if n_bytes > READ_BYTES and max(reach):
        axis = reach.index(max(reach))
        half = box.size[axis] // 2
        for begin, count in ((0, half), (half, box.size[axis] - half)):
            size = (*box.size[:axis], count, *box.size[axis + 1 :])
            part = strip[(slice(None),) * axis + (slice(begin, begin + count),)]
            _gather(reader, part, _Box(box.start + begin * spec.stride[axis] * spec.itemsize, size), spec)
        return
    data = reader.read(box.start, n_bytes)
    strip[...] = np.ndarray(box.size, strip.dtype, data, 0, tuple(step * spec.itemsize for step in spec.stride))


def _elements(items: NDArray[Any], spec: StridedBytes) -> NDArray[Any]:
    count = len(items) * spec.itemsize * 8 // spec.dtype.bits
    return decode(items.view(np.uint8).data, spec.dtype, count)


def _finished(block: NDArray[Any], spec: StridedBytes) -> NDArray[Any]:
    if spec.swap:
        units = block.view(np.uint8).reshape(-1, spec.swap)
        block = np.ascontiguousarray(units[:, ::-1]).reshape(-1).view(block.dtype)
    if not (spec.is_conjugate or spec.is_negative):
        return block
    parts = block.view(np.float16) if spec.dtype.kind == "opaque" else block  # NumPy has no complex32
    if spec.is_conjugate and parts is not block:
        parts = parts * np.tile(np.array([1, -1], np.float16), len(block))
    elif spec.is_conjugate and block.dtype.kind == "c":
        parts = np.conjugate(block)
    if spec.is_negative:
        parts = np.negative(parts)
    return parts.view(block.dtype)
