"""CRC-32C (Castagnoli), and the form in which LevelDB tables store it."""

from __future__ import annotations

from functools import cache

_POLYNOMIAL = 0x82F63B78
_FULL = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8


@cache
def _table() -> tuple[int, ...]:
    entries = []
    for number in range(256):
        entry = number
        for _ in range(8):
            entry = entry >> 1 ^ (_POLYNOMIAL if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


def crc32c(data: bytes, start: int = 0) -> int:
    """Return the checksum of bytes, going on from that of the bytes before.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    table = _table()
    crc = start ^ _FULL
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ _FULL


def unmasked(stored: int) -> int:
    """Return the checksum that a file stores in masked form.

    Example:
        >>> hex(unmasked(0x284C0983))
        '0xe0dbcf96'
    """
    rotated = (stored - _MASK_DELTA) & _FULL
    return (rotated >> 17 | rotated << 15) & _FULL
