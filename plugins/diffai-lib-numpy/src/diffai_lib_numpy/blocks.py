"""Turns the bytes of an array into blocks of elements: in C order, little-endian, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.plugin import block_length, regroup
from diffai_lib_numpy.words import to_little_endian, word

if TYPE_CHECKING:
    from diffai_lib_zip.payload import Reader
    from numpy.typing import NDArray

    from diffai_lib_numpy.array_bytes import ArrayBytes
    from diffai_lib_numpy.elements import Element, Field

STRIP_BYTES = 32 << 20
"""Memory for turning an array in Fortran order: it is read once where so much holds a row, else several times."""

PACKED_STRIP_BYTES = 128 << 20
"""The same for a compressed array, which is decompressed from the start for every strip."""

_PIECE_BYTES = 1 << 20
_NEAR_BYTES = 1 << 12  # reading what lies between costs less than another system call
_Records = Iterator["NDArray[np.uint8]"]


def field_blocks(array: ArrayBytes, field: Field, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the elements of one field of all records (or of an array without fields) as 1-D blocks.

    Raises:
        LoadError: If the bytes are damaged.
    """
    shape = array.shape + field.shape
    if 0 in shape:
        array.payload.reader().finish()
        return
    length = min(block_length(shape, field.element.dtype, max_bytes), math.prod(shape))
    pieces: Iterator[NDArray[Any]]
    if array.fortran_order:
        pieces = (_elements(records, field, field.offset) for records in _turned(array))
    elif field.path:
        pieces = (_elements(records, field, 0) for records in _windows(array, field))
    else:
        pieces = _whole(array, field.element, length)
    for block in regroup(pieces, length, field.element.dtype):
        to_little_endian(block, field.element)
        yield block


def _whole(array: ArrayBytes, element: Element, length: int) -> Iterator[NDArray[Any]]:
    """Yield an array without fields as it lies in the file."""
    reader = array.payload.reader()
    n_elements = math.prod(array.shape)
    buffer = np.empty(length, element.dtype.numpy)
    for first in range(0, n_elements, length):
        block = buffer[: n_elements - first]
        reader.read_into(array.start + first * element.size, _memory(block))
        yield block


def _windows(array: ArrayBytes, field: Field) -> _Records:
    """Yield the bytes of each record from the first to the last element of the field, as rows."""
    reader = array.payload.reader()
    n_records = math.prod(array.shape)
    held = array.record if array.record <= _NEAR_BYTES else field.span
    step = max(1, _PIECE_BYTES // held)
    buffer = np.empty((min(step, n_records), field.span), np.uint8)
    for first in range(0, n_records, step):
        rows = buffer[: n_records - first]
        _gather(reader, rows, array.start + first * array.record + field.offset, array.record)
        if first + step >= n_records:
            reader.finish()
        yield rows


def _gather(reader: Reader, rows: NDArray[np.uint8], position: int, stride: int) -> None:
    """Fill each row with the bytes at ``position``, ``position + stride`` and so on."""
    width = rows.shape[1]
    if stride == width:
        reader.read_into(position, _memory(rows))
    elif stride > _NEAR_BYTES:
        for row in rows:
            reader.read_into(position, _memory(row))
            position += stride
    else:
        step = max(1, _PIECE_BYTES // stride)
        scratch = np.empty(min(step, len(rows)) * stride, np.uint8)
        for first in range(0, len(rows), step):
            count = min(step, len(rows) - first)
            near = scratch[: (count - 1) * stride + width]
            reader.read_into(position + first * stride, _memory(near))
            rows[first : first + count] = np.lib.stride_tricks.as_strided(near, (count, width), (stride, 1))


def _turned(array: ArrayBytes) -> _Records:
    """Yield the records of an array in Fortran order in C order, as rows.

    The leading dimensions are fixed one index after the other until what remains fits into a strip, mostly none of
    them; of the next dimension, as many indices as fit are read at once.
    """
    reader = array.payload.rereader()
    strip_bytes = PACKED_STRIP_BYTES if array.payload.compressed else STRIP_BYTES
    dims = [n for n in array.shape if n > 1]
    split = next(k for k in range(len(dims)) if math.prod(dims[k + 1 :]) * array.record <= strip_bytes)
    fixed, across, rest = dims[:split], dims[split], dims[split + 1 :]
    near, far = math.prod(fixed), math.prod(rest)
    step = min(max(1, strip_bytes // (far * array.record)), across)
    buffer = np.empty(far * step * array.record, np.uint8)
    for indices in product(*map(range, fixed)):
        lead = sum(index * math.prod(fixed[:k]) for k, index in enumerate(indices))
        for first in range(0, across, step):
            count = min(step, across - first)
            strip = buffer[: far * count * array.record].reshape(far, count, array.record)
            _read_strip(reader, strip, array, _Place(near, lead, across, first))
            if lead == near - 1 and first + step >= across:
                reader.finish()
            yield from _strip_rows(strip, rest)


class _Place(NamedTuple):
    """Which elements a strip holds: of ``near`` neighbours that at ``lead``, of ``across`` those from ``first`` on."""

    near: int
    lead: int
    across: int
    first: int


def _read_strip(reader: Reader, strip: NDArray[np.uint8], array: ArrayBytes, place: _Place) -> None:
    """Fill the strip in the order of the file: far dimensions, the dimension across, bytes of a record."""
    far, count, record = strip.shape
    if place.near == 1:
        rows = strip.reshape(far, count * record)
        _gather(reader, rows, array.start + place.first * record, place.across * record)
        return
    for k in range(far):
        index = (k * place.across + place.first) * place.near + place.lead
        _gather(reader, strip[k], array.start + index * record, place.near * record)


def _strip_rows(strip: NDArray[np.uint8], rest: list[int]) -> _Records:
    """Turn a strip into rows of whole records in C order, a piece at a time."""
    _, count, record = strip.shape
    records = strip.reshape(-1).view(word(record)).reshape(*reversed(rest), count).T
    step = max(1, _PIECE_BYTES * count // strip.size)
    for first in range(0, count, step):
        piece = np.ascontiguousarray(records[first : first + step])
        yield piece.reshape(-1).view(np.uint8).reshape(-1, record)


def _elements(records: NDArray[np.uint8], field: Field, offset: int) -> NDArray[Any]:
    """Return the elements of a field of these records, without gaps."""
    view: NDArray[Any] = np.ndarray(
        (len(records), *field.shape),
        word(field.element.size),
        buffer=_memory(records),
        offset=offset,
        strides=(records.shape[1], *(stride for _, stride in field.dims)),
    )
    return np.ascontiguousarray(view).reshape(-1).view(field.element.dtype.numpy)


def _memory(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
