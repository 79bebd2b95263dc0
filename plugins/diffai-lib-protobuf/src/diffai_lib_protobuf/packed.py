"""Packed numbers of variable length as NumPy arrays, decoded piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffai_lib_protobuf.varint import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_lib_protobuf.source import ByteSource

_PIECE_BYTES = 256 << 10


def packed_varints(source: ByteSource, start: int, length: int) -> Iterator[NDArray[np.uint64]]:
    """Yield the numbers in ``length`` bytes from ``start`` on, as arrays of bounded size; none is empty.

    Negative ``int32`` and ``int64`` come in two's complement of 64 bits: ``array.view("int64")``.

    Raises:
        LoadError: If the bytes end inside a number, or a number has more than 64 bits.
    """
    rest = b""
    position, end = start, start + length
    while position < end:
        count = min(_PIECE_BYTES, end - position)
        begin = position - len(rest)
        piece = np.frombuffer(rest + source.read(position, count), np.uint8)
        position += count
        ends = np.flatnonzero(piece < 0x80)  # noqa: PLR2004 - the bit that says that a number goes on
        whole = int(ends[-1]) + 1 if len(ends) else 0
        rest = piece[whole:].tobytes()
        if len(ends):
            yield _decoded(source, piece[:whole], ends, begin)
        if len(rest) >= MAX_BYTES:
            raise source.error(f"a number goes on after {MAX_BYTES} bytes", begin + whole)
    if rest:
        raise source.error("the message ends inside a number", end)


def _decoded(source: ByteSource, piece: NDArray[np.uint8], ends: NDArray[np.intp], begin: int) -> NDArray[np.uint64]:
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > MAX_BYTES:
        at = begin + int(starts[lengths.argmax()])
        raise source.error(f"a number goes on after {MAX_BYTES} bytes", at)
    values = (piece[starts] & 0x7F).astype(np.uint64)
    for number in range(1, longest):
        held = np.flatnonzero(lengths > number)
        part = piece[starts[held] + number]
        if number == MAX_BYTES - 1 and part.max() > 1:
            at = begin + int(starts[held[part.argmax()]])
            raise source.error("a number has more than 64 bits", at)
        values[held] |= (part & 0x7F).astype(np.uint64) << np.uint64(7 * number)
    return values
