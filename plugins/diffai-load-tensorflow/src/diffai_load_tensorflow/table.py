"""Reads a LevelDB table: sorted keys and values in blocks, each with its checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import LoadError
from diffai_load_tensorflow.crc32c import crc32c, unmasked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import DataFile

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES = 48
MAX_TABLE_BYTES = 256 << 20
_TRAILER_BYTES = 5
_MAX_NUMBER_BYTES = 10
_COMPRESSIONS = {1: "snappy", 2: "zlib", 4: "Zstandard"}


class Entry(NamedTuple):
    """A key, its value, and where in the file the value lies."""

    key: bytes
    value: bytes
    offset: int


class _Block(NamedTuple):
    data: bytes
    start: int


def read_table(file: DataFile) -> Iterator[Entry]:
    """Yield the entries in the order of the file, which is that of their keys.

    Raises:
        LoadError: If the file is no such table, is compressed, or a checksum is wrong.
    """
    if file.size < FOOTER_BYTES or file.read(file.size - len(MAGIC), len(MAGIC)) != MAGIC:
        raise LoadError(file.name, "does not end as the index of a TensorFlow checkpoint does", file.size)
    if file.size > MAX_TABLE_BYTES:
        raise LoadError(file.name, f"an index of {file.size:,} bytes; at most {MAX_TABLE_BYTES:,} are read")
    footer_start = file.size - FOOTER_BYTES
    footer = _Block(file.read(footer_start, FOOTER_BYTES), footer_start)
    _, place = _handle(file, footer, 0)
    index_handle, _ = _handle(file, footer, place)
    end = b""
    seen = 0
    for index in _entries(file, _block(file, *index_handle)):
        handle, _ = _handle(file, _Block(index.value, index.offset), 0)
        block = _block(file, *handle)
        seen += handle[1]
        if seen > file.size:
            raise LoadError(file.name, "blocks of the table are listed again and again", index.offset)
        for entry in _entries(file, block):
            if entry.key <= end and (end or entry.key):
                raise LoadError(file.name, "the keys of the table are not in order", entry.offset)
            end = entry.key
            yield entry


def _block(file: DataFile, offset: int, size: int) -> _Block:
    """Return a block without its trailer, once its checksum is right."""
    limit = file.size - FOOTER_BYTES - _TRAILER_BYTES
    if offset > limit or size > limit - offset:
        raise LoadError(file.name, f"a block of the table would end at byte {offset + size:,}", min(offset, file.size))
    data = file.read(offset, size + _TRAILER_BYTES)
    stored = int.from_bytes(data[-4:], "little")
    if crc32c(data[:-4]) != unmasked(stored):
        raise LoadError(file.name, f"the checksum of a block of {size:,} bytes is wrong; the index is damaged", offset)
    if data[size]:
        how = _COMPRESSIONS.get(data[size], f"method {data[size]}")
        raise LoadError(file.name, f"a block is compressed ({how}), which is not supported", offset + size)
    return _Block(data[:size], offset)


def _entries(file: DataFile, block: _Block) -> Iterator[Entry]:
    data, start = block
    n_restarts = int.from_bytes(data[-4:], "little") if len(data) >= 4 else -1  # noqa: PLR2004 - bytes of the count
    end = len(data) - 4 - 4 * n_restarts
    if n_restarts < 0 or end < 0:
        raise LoadError(file.name, "a block of the table has no end", start)
    place, key = 0, b""
    while place < end:
        shared, place = _number(file, block, place)
        n_key, place = _number(file, block, place)
        n_value, place = _number(file, block, place)
        value = place + n_key
        if shared > len(key) or value + n_value > end:
            raise LoadError(file.name, "an entry of the table reaches out of its block", start + place)
        key = key[:shared] + data[place:value]
        yield Entry(key, data[value : value + n_value], start + value)
        place = value + n_value


def _handle(file: DataFile, block: _Block, place: int) -> tuple[tuple[int, int], int]:
    """Return offset and size of a block, and where the next thing begins."""
    offset, place = _number(file, block, place)
    size, place = _number(file, block, place)
    return (offset, size), place


def _number(file: DataFile, block: _Block, place: int) -> tuple[int, int]:
    """Return a number of variable length, and where the next thing begins."""
    value = 0
    for count, byte in enumerate(block.data[place : place + _MAX_NUMBER_BYTES]):
        value |= (byte & 127) << 7 * count
        if byte < 128:  # noqa: PLR2004 - the last byte of a number
            return value, place + count + 1
    raise LoadError(file.name, "a number in the table does not end", block.start + place)
