"""Files that are packed behind a model: label lists and vocabularies in a ZIP archive at the end of the file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import LoadError, shown

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

MAX_FILES = 10_000
MAX_DIRECTORY_BYTES = 4 << 20
_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")


def attached_files(file: DataFile) -> dict[str, Any]:
    """Return size and CRC-32 of each file that is packed behind the model, as the archive gives them.

    Raises:
        LoadError: If there is an archive, and its directory is damaged.
    """
    if file.size < _END.size:
        return {}
    start = file.size - _END.size
    signature, _, _, _, count, size, _, comment = _END.unpack(file.read(start, _END.size))
    if signature != b"PK\x05\x06" or comment:
        return {}
    if size > min(start, MAX_DIRECTORY_BYTES) or count > MAX_FILES:
        raise LoadError(file.name, "the directory of the files behind the model is damaged or too large", start)
    return _entries(file, start - size, size, count)


def _entries(file: DataFile, start: int, size: int, count: int) -> dict[str, Any]:
    data = file.read(start, size)
    found: dict[str, Any] = {}
    place = 0
    for _ in range(count):
        fields = _ENTRY.unpack_from(data, place) if place + _ENTRY.size <= size else (b"",)
        if fields[0] != b"PK\x01\x02":
            raise LoadError(file.name, "the directory of the files behind the model is damaged", start + place)
        crc32, _, length, n_name, n_extra, n_comment = fields[7:13]
        raw = data[place + _ENTRY.size : place + _ENTRY.size + n_name]
        name = raw.decode("utf-8", "backslashreplace")
        if name in found:
            raise LoadError(file.name, f"there are two files {shown(name)} behind the model", start + place)
        found[name] = {"bytes": length, "crc32": f"{crc32:08x}"}
        place += _ENTRY.size + n_name + n_extra + n_comment
    return found
