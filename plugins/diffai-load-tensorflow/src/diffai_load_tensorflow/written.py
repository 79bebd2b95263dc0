"""Elements that are written out in typed fields, one number after the other; the last one is repeated to the end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_lib_protobuf import FIXED32, FIXED64, LENGTH
from diffai_lib_protobuf.packed import packed_varints

from diffai_core.plugin import block_length
from diffai_load_tensorflow.blocks import elements
from diffai_load_tensorflow.types import field_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_protobuf import Field, Message
    from numpy.typing import NDArray

    from diffai_core.plugin import DType

_PIECE_BYTES = 1 << 18
_BUFFERED = 1 << 12


def written_blocks(message: Message, shape: tuple[int, ...], kind: DType, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield all elements of a constant; those that nothing is written of are 0.

    Raises:
        LoadError: If more elements are written than the shape has, or they are of another type.
    """
    total = math.prod(shape)
    step = block_length(shape, kind, max_bytes)
    pieces = _pieces(message, kind)
    rest = np.empty(0, kind.numpy)
    last = np.zeros(1, kind.numpy)
    is_over = False
    for start in range(0, total, step):
        count = min(step, total - start)
        while rest.size < count and not is_over:
            piece = next(pieces, None)
            is_over = piece is None
            rest = rest if piece is None else np.concatenate([rest, piece])
        block, rest = rest[:count], rest[count:]
        last = block[-1:] if block.size else last
        yield np.concatenate([block, np.repeat(last, count - block.size)]) if block.size < count else block
    if rest.size or (not is_over and next(pieces, None) is not None):
        raise message.error(f"a tensor has more elements than its shape {list(shape)} needs")


def _pieces(message: Message, kind: DType) -> Iterator[NDArray[Any]]:
    """Yield the elements that are written out, in arrays of bounded size."""
    number = field_of(kind)
    single: list[int] = []  # fields that hold one number each
    for field in message.fields():
        if field.number != number:
            continue
        if field.wire != LENGTH:
            single.append(field.value)
            if len(single) >= _BUFFERED:
                yield _singles(field, single, kind)
                single = []
            continue
        if single:
            yield _singles(field, single, kind)
            single = []
        yield from _packed(field, kind)
    if single:
        yield _singles(message_field(message, number), single, kind)


def message_field(message: Message, number: int) -> Field:
    """Return the first field with a number."""
    return next(field for field in message.fields() if field.number == number)


def _singles(field: Field, values: list[int], kind: DType) -> NDArray[Any]:
    width = _width(kind)
    if not width:
        return _narrowed(np.array(values, np.uint64), kind)
    mask = (1 << 8 * width) - 1
    raw = b"".join((value & mask).to_bytes(width, "little") for value in values)
    return _viewed(field, raw, kind)


def _width(kind: DType) -> int:
    """Return the bytes of a number that is written with a fixed length, 0 if that varies."""
    if kind.name in {"float32", "complex64"}:
        return 4
    return 8 if kind.name in {"float64", "complex128"} else 0


def _packed(field: Field, kind: DType) -> Iterator[NDArray[Any]]:
    source, end = field.owner.source, field.start + field.value
    if kind.bits <= 8 and kind.kind == "float":  # noqa: PLR2004 - a byte: written as bytes
        for start in range(field.start, end, _PIECE_BYTES):
            raw = source.read(start, min(_PIECE_BYTES, end - start))
            yield elements(np.frombuffer(raw, np.uint8), kind)
        return
    width = _width(kind)
    if not width:
        for numbers in packed_varints(source, field.start, field.value):
            yield _narrowed(numbers, kind)
        return
    field.packed_count({4: FIXED32, 8: FIXED64}[width])
    for start in range(field.start, end, _PIECE_BYTES):
        yield _viewed(field, source.read(start, min(_PIECE_BYTES, end - start)), kind)


def _viewed(field: Field, raw: bytes, kind: DType) -> NDArray[Any]:
    if len(raw) % kind.numpy.itemsize:
        raise field.error("a complex number has no imaginary part")
    return np.frombuffer(raw, kind.numpy)


def _narrowed(numbers: NDArray[np.uint64], kind: DType) -> NDArray[Any]:
    """Return elements from whole numbers: their value, or the bits of 16-bit floats."""
    if kind.kind == "bool":
        return np.not_equal(numbers, 0)
    if kind.kind == "float":
        return numbers.astype(np.uint16).view(kind.numpy)
    if kind.bits < 8:  # noqa: PLR2004 - a byte
        return elements(numbers.astype(np.uint8), kind)
    return numbers.astype(np.dtype(f"uint{kind.bits}")).view(kind.numpy)
