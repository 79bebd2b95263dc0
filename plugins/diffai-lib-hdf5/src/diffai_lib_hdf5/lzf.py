"""LZF, the fast compression of h5py, undone byte run by byte run."""

from __future__ import annotations

_LITERALS = 32
_LONG = 7


def inflate_lzf(data: bytes, limit: int) -> bytes:
    """Return what was compressed.

    Args:
        data: The compressed bytes.
        limit: Most bytes that may come out.

    Raises:
        ValueError: If the data are damaged or give more.
    """
    found = bytearray()
    place = 0
    end = len(data)
    while place < end:
        control = data[place]
        place += 1
        if control < _LITERALS:
            stop = place + control + 1
            if stop > end:
                raise ValueError("they end too early")
            found += data[place:stop]
            place = stop
        else:
            place = _copy(found, data, place, control)
        if len(found) > limit:
            raise ValueError(f"they give more than {limit:,} bytes")
    return bytes(found)


def _copy(found: bytearray, data: bytes, place: int, control: int) -> int:
    """Repeat bytes that have come out before; return the place of the next run."""
    length = control >> 5
    extra = length == _LONG
    if place + 1 + extra > len(data):
        raise ValueError("they end too early")
    if extra:
        length += data[place]
        place += 1
    distance = ((control & 31) << 8 | data[place]) + 1
    length += 2
    start = len(found) - distance
    if start < 0:
        raise ValueError("they refer to what was never there")
    piece = found[start : start + length]
    if len(piece) < length:
        piece = (piece * (length // len(piece) + 1))[:length]
    found += piece
    return place + 1
