"""Numbers of variable length: seven bits a byte, the lowest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_lib_protobuf.source import ByteSource

MAX_BYTES = 10
"""What 64 bits take."""
_CONTINUED = 0x80


def read_varint(source: ByteSource, data: bytes, at: int, stop: int, begin: int) -> tuple[int, int]:
    """Return the number at ``data[at]`` and where the next thing begins.

    Args:
        source: What errors name.
        data: A piece of the source.
        at: First byte of the number in the piece.
        stop: First byte that may not belong to it.
        begin: Where the piece begins in the source.

    Raises:
        LoadError: If it does not end before ``stop``, or has more than 64 bits.
    """
    value, shift, place = 0, 0, at
    for place in range(at, min(stop, at + MAX_BYTES)):
        byte = data[place]
        if byte < _CONTINUED:
            value |= byte << shift
            if value >> 64:
                raise source.error("a number has more than 64 bits", begin + at)
            return value, place + 1
        value |= (byte & 0x7F) << shift
        shift += 7
    if stop - at >= MAX_BYTES:
        raise source.error(f"a number goes on after {MAX_BYTES} bytes", begin + at)
    raise source.error("the message ends inside a number", begin + stop)
