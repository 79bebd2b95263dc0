"""Bob Jenkins' lookup3, with which HDF5 guards its newer metadata."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_lib_hdf5.region import Cursor

CHECKSUM_BYTES = 4

_WORDS = struct.Struct("<3I")
_MASK = 0xFFFFFFFF
_GROUP = 12


def lookup3(data: bytes) -> int:
    """Return the checksum of ``data``.

    Example:
        >>> hex(lookup3(b"Four score and seven years ago"))
        '0x17770551'
    """
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    whole = max(0, (len(data) - 1) // _GROUP * _GROUP)
    for x, y, z in _WORDS.iter_unpack(data[:whole]):
        a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
        a = ((a - c) & _MASK) ^ ((c << 4) & _MASK | c >> 28)
        c = (c + b) & _MASK
        b = ((b - a) & _MASK) ^ ((a << 6) & _MASK | a >> 26)
        a = (a + c) & _MASK
        c = ((c - b) & _MASK) ^ ((b << 8) & _MASK | b >> 24)
        b = (b + a) & _MASK
        a = ((a - c) & _MASK) ^ ((c << 16) & _MASK | c >> 16)
        c = (c + b) & _MASK
        b = ((b - a) & _MASK) ^ ((a << 19) & _MASK | a >> 13)
        a = (a + c) & _MASK
        c = ((c - b) & _MASK) ^ ((b << 4) & _MASK | b >> 28)
        b = (b + a) & _MASK
    if not data:
        return c
    x, y, z = _WORDS.unpack(data[whole:].ljust(_GROUP, b"\0"))
    return _final((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)


def _final(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - ((b << 14) & _MASK | b >> 18)) & _MASK
    a = ((a ^ c) - ((c << 11) & _MASK | c >> 21)) & _MASK
    b = ((b ^ a) - ((a << 25) & _MASK | a >> 7)) & _MASK
    c = ((c ^ b) - ((b << 16) & _MASK | b >> 16)) & _MASK
    a = ((a ^ c) - ((c << 4) & _MASK | c >> 28)) & _MASK
    b = ((b ^ a) - ((a << 14) & _MASK | a >> 18)) & _MASK
    return ((c ^ b) - ((b << 24) & _MASK | b >> 8)) & _MASK


def check(cursor: Cursor, stop: int | None = None) -> None:
    """Make sure that the bytes up to ``stop`` (default: the next byte) have the checksum that follows them.

    Raises:
        LoadError: If they do not.
    """
    stop = cursor.position if stop is None else stop
    stored = cursor.data[stop : stop + CHECKSUM_BYTES]
    if len(stored) < CHECKSUM_BYTES or lookup3(cursor.data[:stop]) != int.from_bytes(stored, "little"):
        cursor.position = min(stop, cursor.end)
        raise cursor.error(f"{cursor.what} and its checksum disagree; it is damaged")
