"""Slices of partitioned variables: which part of the whole each is, and under which key it is stored."""

from __future__ import annotations

from typing import NamedTuple


class Slice(NamedTuple):
    """A part of a tensor.

    Args:
        starts: First index in each dimension.
        lengths: How many there are of each.
        extents: Both as the file has them; a whole dimension has the length -1.
    """

    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    extents: tuple[tuple[int, int], ...]


def slice_key(name: str, part: Slice) -> bytes:
    r"""Return the key of a slice: name and extents in a form that sorts as they do.

    Example:
        >>> slice_key("w", Slice((0, 2), (3, 2), ((0, -1), (2, 2))))
        b'\x00w\x00\x01\x01\x02\x80\x7f\x82\x82'
    """
    escaped = name.encode().replace(b"\0", b"\0\xff")  # no byte of UTF-8 is 0xff
    key = _unsigned(0) + escaped + b"\0\1" + _unsigned(len(part.extents))
    return key + b"".join(_signed(start) + _signed(length) for start, length in part.extents)


def _unsigned(number: int) -> bytes:
    n_bytes = (number.bit_length() + 7) // 8
    return bytes([n_bytes]) + number.to_bytes(n_bytes, "big")


def _signed(number: int) -> bytes:
    """Return a number of 1 to 10 bytes, of which the first bits say how many there are."""
    magnitude = ~number if number < 0 else number
    n_bytes = magnitude.bit_length() // 7 + 1
    header = ((1 << n_bytes) - 1) << (7 * n_bytes)
    return (number % (1 << 8 * n_bytes) ^ header).to_bytes(n_bytes, "big")
