"""Undoing the filters of a chunk: deflate, shuffle, Fletcher-32 and LZF; never more bytes than a chunk has."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from diffai_lib_hdf5.lzf import inflate_lzf

if TYPE_CHECKING:
    from diffai_lib_hdf5.layout import Filter
    from diffai_lib_hdf5.region import Region

DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000
READABLE = frozenset({DEFLATE, SHUFFLE, FLETCHER32, LZF})
MAX_RATIO = 1032
"""Bytes to which one byte can grow: 258 from a code of one bit for a length and one for a distance."""

_NAMES = {
    4: "SZIP",
    5: "N-bit",
    6: "scale-offset",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32015: "Zstandard",
}
_CHECKSUM_BYTES = 4
_WORD_SUM = 65535


def complaint(filters: tuple[Filter, ...]) -> str:
    """Say which filter cannot be undone; empty if all can."""
    unknown = [step.number for step in filters if step.number not in READABLE]
    names = [_NAMES.get(number, f"filter {number}") for number in unknown]
    return f"compressed with {names[0]}, which is not read; save it with gzip or uncompressed" if names else ""


def undone(region: Region, data: bytes, filters: tuple[Filter, ...], skipped: int, size: int, at: int) -> bytes:
    """Return a chunk as it was before the filters.

    Args:
        region: The file, for messages.
        data: The stored bytes.
        filters: The filters in the order in which they were applied.
        skipped: Bit mask of those that were left out.
        size: Bytes that a chunk has.
        at: Where the stored bytes are.

    Raises:
        LoadError: If they are damaged or give another size.
    """
    for number, step in reversed(list(enumerate(filters))):
        if skipped >> number & 1:
            continue
        if step.number == DEFLATE:
            data = _inflated(region, data, size, at)
        elif step.number == LZF:
            data = _expanded(region, data, size, at)
        elif step.number == FLETCHER32:
            data = _checked(region, data, at)
        else:
            data = _unshuffled(data, step.parameters[0] if step.parameters else 1)
    if len(data) != size:
        raise region.error(f"a chunk has {len(data):,} bytes instead of {size:,}", at)
    return data


def _inflated(region: Region, data: bytes, size: int, at: int) -> bytes:
    inflater = zlib.decompressobj()
    limit = size + _CHECKSUM_BYTES  # a checksum may have been made before
    try:
        found = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise region.error(f"the compressed data of a chunk are damaged ({error})", at) from error
    if len(found) > limit:
        raise region.error(f"a chunk grows beyond its {size:,} bytes when decompressed", at)
    if not inflater.eof:
        raise region.error("the compressed data of a chunk end too early", at)
    return found


def _expanded(region: Region, data: bytes, size: int, at: int) -> bytes:
    try:
        return inflate_lzf(data, size + _CHECKSUM_BYTES)
    except ValueError as error:
        raise region.error(f"the compressed data of a chunk are damaged ({error})", at) from error


def _checked(region: Region, data: bytes, at: int) -> bytes:
    """Compare the checksum at the end, and take it away."""
    import numpy as np

    if len(data) < _CHECKSUM_BYTES:
        raise region.error("a chunk is too short for its checksum", at)
    body, stored = data[:-_CHECKSUM_BYTES], int.from_bytes(data[-_CHECKSUM_BYTES:], "little")
    words = np.frombuffer(body + b"\0" * (len(body) % 2), ">u2").astype(np.uint64)
    low = int(words.sum()) % _WORD_SUM
    high = 0
    piece = 1 << 20  # so that the weighted sum stays below 2^64
    for first in range(0, len(words), piece):
        part = words[first : first + piece]
        weights = np.arange(len(part), 0, -1, dtype=np.uint64)
        later = (len(words) - first - len(part)) % _WORD_SUM
        high = (high + int((part * weights).sum()) + later * (int(part.sum()) % _WORD_SUM)) % _WORD_SUM
    if (stored & 0xFFFF) % _WORD_SUM != low or (stored >> 16) % _WORD_SUM != high:
        raise region.error("a chunk and its checksum disagree; it is damaged", at)
    return body


def _unshuffled(data: bytes, width: int) -> bytes:
    """Put the bytes of each element together again; those left over at the end were not moved."""
    import numpy as np

    count = len(data) // width if width else 0
    if width <= 1 or count <= 1:
        return data
    planes = np.frombuffer(data, np.uint8, count * width).reshape(width, count)
    return planes.T.tobytes() + data[count * width :]
