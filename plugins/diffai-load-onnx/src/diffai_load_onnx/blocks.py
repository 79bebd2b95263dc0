"""Blocks of elements that do not lie in the file as they are: numbers of variable length, half-filled bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_lib_protobuf import FIXED32, FIXED64, VARINT
from diffai_lib_protobuf.packed import packed_varints

from diffai_core.plugin import block_length, decode, dtype, regroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from diffai_lib_protobuf import Field, Message
    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, DType
    from diffai_load_onnx.tensors import TypedField

_PIECE_BYTES = 256 << 10
_GATHERED = 4096
_FIXED = {FIXED32: 4, FIXED64: 8}


def uneven_blocks(
    file: DataFile, offset: int, dtype_name: str, shape: tuple[int, ...], max_bytes: int
) -> Iterator[NDArray[Any]]:
    """Yield packed elements of 2, 4 or 6 bits of which the last do not fill their bytes."""
    dtype_ = dtype(dtype_name)
    numel, group = math.prod(shape), dtype_.packed_group
    step = block_length(shape, dtype_, max_bytes)
    for start in range(0, numel, step):
        count = min(step, numel - start)
        whole = -(-count // group) * group
        data = file.read(offset + dtype_.nbytes(start), -(-count * dtype_.bits // 8))
        yield decode(data.ljust(dtype_.nbytes(whole), b"\0"), dtype_, whole)[:count]


def typed_blocks(place: TypedField, dtype_name: str, shape: tuple[int, ...], max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield elements that lie one by one in the fields of a message.

    Raises:
        LoadError: If there are more or fewer than ``shape`` needs, or one does not fit the type.
    """
    dtype_ = dtype(dtype_name)
    numel = math.prod(shape)
    message = place.message
    fields = (field for field in message.fields() if field.number == place.number)
    pieces: Iterator[NDArray[Any]]
    if place.wire == VARINT:
        pieces = (_elements(values, dtype_, message) for values in _numbers(fields))
    else:
        pieces = _fixed(fields, place.wire, dtype_)
    length = min(block_length(shape, dtype_, max_bytes), numel)
    n_seen = 0
    for block in regroup(_exactly(pieces, numel, dtype_, message), length, dtype_):
        n_seen += len(block)
        yield block
    if n_seen < numel:
        raise message.error(f"the tensor has {n_seen:,} elements instead of {numel:,}")


def _exactly(pieces: Iterable[NDArray[Any]], numel: int, dtype_: DType, message: Message) -> Iterator[NDArray[Any]]:
    """Yield the pieces without what only fills the last byte."""
    left = numel
    for piece in pieces:
        if len(piece) >= left + dtype_.packed_group:
            raise message.error(f"the tensor has more than its {numel:,} elements")
        yield piece[:left]
        left -= min(left, len(piece))


def _numbers(fields: Iterable[Field]) -> Iterator[NDArray[np.uint64]]:
    """Yield numbers of variable length, packed or not, in pieces of bounded size."""
    single: list[int] = []
    for field in fields:
        if field.wire == VARINT:
            single.append(field.value)
        if single and (field.wire != VARINT or len(single) == _GATHERED):
            yield np.array(single, np.uint64)
            single = []
        if field.wire != VARINT:
            yield from packed_varints(field.owner.source, field.start, field.value)
    if single:
        yield np.array(single, np.uint64)


def _elements(values: NDArray[np.uint64], dtype_: DType, message: Message) -> NDArray[Any]:
    """Return the elements that numbers stand for: their bits, of as many as fill a byte where they are packed."""
    signed = values.view(np.int64)
    found: NDArray[Any]
    if dtype_.name == "bool":
        found = signed != 0
        return found
    bits = 8 if dtype_.bits in {2, 4} else dtype_.bits
    if bits < 64:  # noqa: PLR2004 - all of them fit
        lowest, beyond = -(1 << (bits - 1)), 1 << bits
        if ((signed < lowest) | (signed >= beyond)).any():
            raise message.error(f"a number does not fit into {dtype_}")
    whole = values.astype(f"u{max(bits, 8) // 8}")
    if dtype_.bits in {2, 4}:
        return decode(whole, dtype_, len(whole) * dtype_.packed_group)
    found = whole.view(dtype_.numpy)
    return found


def _fixed(fields: Iterable[Field], wire: int, dtype_: DType) -> Iterator[NDArray[Any]]:
    """Yield numbers of 4 or 8 bytes, packed or not; two of them make a complex one."""
    size, rest = _FIXED[wire], bytearray()
    for field in fields:
        end = field.start + field.packed_count(wire) * size
        for place in range(field.start, end, _PIECE_BYTES):
            rest += field.owner.source.read(place, min(_PIECE_BYTES, end - place))
            if len(rest) >= _GATHERED:
                yield _taken(rest, dtype_)
    if len(rest) >= dtype_.bits // 8:
        yield _taken(rest, dtype_)


def _taken(held: bytearray, dtype_: DType) -> NDArray[Any]:
    """Take as many whole elements as there are."""
    count = len(held) * 8 // dtype_.bits
    found = decode(bytes(held[: dtype_.nbytes(count)]), dtype_, count)
    del held[: dtype_.nbytes(count)]
    return found
