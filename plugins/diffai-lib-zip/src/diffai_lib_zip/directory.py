"""The directory of a zip file, read strictly: every byte of the file belongs to exactly one thing it declares."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from diffai_core.plugin import LoadError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import DataFile

MAX_MEMBERS = 100_000
MAX_DIRECTORY_BYTES = 64 << 20
STORED, DEFLATED = 0, 8

_METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz"}
_MAX_DEFLATE_RATIO = 1032  # 258 bytes from a length code of one bit and a distance code of one bit
_END = struct.Struct("<4s4H2LH")
_LOCATOR_64 = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 0xFFFF
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA = 1
_ENCRYPTED, _STREAMED, _UTF8 = 1 << 0, 1 << 3, 1 << 11
_KNOWN_FLAGS = _STREAMED | _UTF8 | 0b110  # bits 1 and 2 say how hard deflate tried


class Member(NamedTuple):
    """A file in the archive.

    Args:
        name: Its name.
        method: ``STORED`` or ``DEFLATED``.
        start: Offset of its first byte as stored in the zip file.
        packed: Bytes as stored in the zip file.
        size: Bytes after decompression.
        crc32: CRC-32 of those bytes.
    """

    name: str
    method: int
    start: int
    packed: int
    size: int
    crc32: int


class Directory(NamedTuple):
    """What a zip file holds: its members in the order of its directory, and the comment on the whole archive."""

    members: tuple[Member, ...]
    comment: bytes


class Readable(Protocol):
    """A file, or a stretch of one."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read(self, offset: int, count: int) -> bytes:
        """Return exactly ``count`` bytes."""


class _Stretch:
    def __init__(self, file: DataFile, start: int, length: int) -> None:
        self.name = file.name
        self.size = length
        self._file = file
        self._start = start

    def read(self, offset: int, count: int) -> bytes:
        return self._file.read(self._start + offset, count)


class _End(NamedTuple):
    position: int
    n_members: int
    size: int
    start: int
    comment: bytes


class _Entry(NamedTuple):
    raw_name: bytes
    name: str
    flags: int
    method: int
    crc32: int
    packed: int
    size: int
    header: int


def directory_within(file: DataFile, start: int, length: int) -> Directory:
    """Read the directory of a zip file that lies inside another file, such as one of many in a shard.

    Args:
        file: The file around it.
        start: Offset of its first byte.
        length: Bytes that it takes.

    Raises:
        LoadError: As ``read_directory``.
    """
    try:
        found = read_directory(_Stretch(file, start, length))
    except LoadError as error:
        raise LoadError(error.path, error.reason, start + (error.offset or 0)) from error
    return found._replace(members=tuple(one._replace(start=start + one.start) for one in found.members))


def read_directory(file: Readable) -> Directory:
    """Read the directory of a zip file and check it against the local headers.

    Raises:
        LoadError: If the file is no zip file, members overlap, leave holes or have one name, the two headers of a
            member disagree, a member is encrypted or compressed otherwise than by deflate, or there are more
            than ``MAX_MEMBERS``.
    """
    end = _find_end(file)
    entries = list(_read_entries(file, end))
    starts = _check_layout(file, entries, end.start)
    members = tuple(Member(e.name, e.method, starts[e.header], e.packed, e.size, e.crc32) for e in entries)
    return Directory(members, end.comment)


def _find_end(file: Readable) -> _End:
    """Find the record that closes the file, in its 64-bit form where there is one."""
    position, fields, comment = _closing_record(file)
    _, disk, directory_disk, here, total, size, start, _ = fields
    if disk or directory_disk or here != total:
        raise LoadError(file.name, "is one part of a zip file in several parts; join them first", position)
    end = _widen(file, _End(position, total, size, start, comment))
    if end.start + end.size != end.position:
        reason = f"the zip directory is said to fill bytes {end.start:,} to {end.start + end.size:,}, but ends here"
        raise LoadError(file.name, reason, end.position)
    if end.n_members > MAX_MEMBERS or end.size > MAX_DIRECTORY_BYTES:
        raise LoadError(file.name, f"has {end.n_members:,} members; at most {MAX_MEMBERS:,} are read", position)
    return end


def _closing_record(file: Readable) -> tuple[int, tuple[Any, ...], bytes]:
    """Return offset, fields and comment of the record that ends exactly where the file does."""
    tail_start = max(0, file.size - _END.size - _MAX_COMMENT)
    tail = file.read(tail_start, file.size - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        comment = tail[at + _END.size :]
        if len(tail) - at >= _END.size and (fields := _END.unpack_from(tail, at))[-1] == len(comment):
            return tail_start + at, fields, comment
        at = tail.rfind(b"PK\x05\x06", 0, at + 3)
    raise LoadError(file.name, "does not end as a zip file does; it is truncated or none", file.size)


def _widen(file: Readable, end: _End) -> _End:
    """Take the numbers of the 64-bit record if the file has one."""
    locator = end.position - _LOCATOR_64.size
    if locator < 0:
        return end
    signature, disk, position, n_disks = _LOCATOR_64.unpack(file.read(locator, _LOCATOR_64.size))
    if signature != b"PK\x06\x07":
        return end
    if disk or n_disks > 1 or position + _END_64.size > locator:
        raise LoadError(file.name, "the 64-bit zip directory is not where it is said to be", locator)
    record = _END_64.unpack(file.read(position, _END_64.size))
    signature, length, _, _, disk, directory_disk, here, total, size, start = record
    narrow = ((end.n_members, total, _FULL_16), (end.size, size, _FULL_32), (end.start, start, _FULL_32))
    agree = all(short in {wide, full} for short, wide, full in narrow)
    if signature != b"PK\x06\x06" or position + 12 + length != locator or disk or directory_disk or here != total:
        raise LoadError(file.name, "the record of the 64-bit zip directory is damaged", position)
    if not agree:
        raise LoadError(file.name, "the 32-bit and the 64-bit record of the zip directory disagree", position)
    return end._replace(position=position, n_members=total, size=size, start=start)


def _read_entries(file: Readable, end: _End) -> Iterator[_Entry]:
    table = file.read(end.start, end.size)
    names: set[str] = set()
    place = 0
    for _ in range(end.n_members):
        at = end.start + place
        if place + _CENTRAL.size > len(table):
            raise LoadError(file.name, f"the zip directory ends before the last of its {end.n_members:,} members", at)
        fields = _CENTRAL.unpack_from(table, place)
        length = _CENTRAL.size + sum(fields[10:13])
        if fields[0] != b"PK\x01\x02" or place + length > len(table):
            raise LoadError(file.name, "an entry of the zip directory is damaged", at)
        entry = _entry(file, fields, table[place + _CENTRAL.size : place + length], at)
        if entry.name in names:
            raise LoadError(file.name, f"has two members named {shown(entry.name)}", at)
        names.add(entry.name)
        yield entry
        place += length
    if place != len(table):
        raise LoadError(file.name, "the zip directory goes on after its last member", end.start + place)


def _entry(file: Readable, fields: tuple[int, ...], texts: bytes, at: int) -> _Entry:
    """Check one entry of the directory on its own."""
    _, _, _, flags, method, _, _, crc32, packed, size, n_name, n_extra, _, disk, _, _, header = fields
    raw_name = texts[:n_name]
    try:
        name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError as error:
        raise LoadError(file.name, f"the name of a member is not UTF-8 ({error.reason})", at) from error
    if not name or "\0" in name:
        raise LoadError(file.name, f"a member has the name {shown(name)}", at)
    wide = _wide_sizes(texts[n_name : n_name + n_extra], (size, packed, header))
    if wide is None or disk not in {0, _FULL_16}:
        raise LoadError(file.name, f"the sizes of member {shown(name)} are damaged", at)
    entry = _Entry(raw_name, name, flags, method, crc32, wide[1], wide[0], wide[2])
    complaint = _complaint(entry)
    if complaint:
        raise LoadError(file.name, f"member {shown(name)} {complaint}", at)
    return entry


def _wide_sizes(extra: bytes, narrow: tuple[int, ...]) -> tuple[int, ...] | None:
    """Replace saturated 32-bit numbers by those of the 64-bit extra field, in order; ``None`` if they are not there."""
    if _FULL_32 not in narrow:
        return narrow
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        place += 4
        if kind == _ZIP64_EXTRA:
            n_wanted = narrow.count(_FULL_32)
            if length < 8 * n_wanted or place + length > len(extra):
                return None
            wide = iter(struct.unpack_from(f"<{n_wanted}Q", extra, place))
            return tuple(next(wide) if number == _FULL_32 else number for number in narrow)
        place += length
    return None


def _complaint(entry: _Entry) -> str:
    """Say why a member cannot be read; empty if it can."""
    if entry.flags & _ENCRYPTED:
        return "is encrypted; decrypt the archive first"
    if entry.flags & ~_KNOWN_FLAGS:
        return f"uses zip features that are not supported (flags {entry.flags:#06x})"
    if entry.method not in {STORED, DEFLATED}:
        how = _METHODS.get(entry.method, f"method {entry.method}")
        return f"is compressed with {how}; save it again uncompressed or with deflate"
    if entry.method == STORED and entry.packed != entry.size:
        return f"is stored as {entry.packed:,} bytes but said to hold {entry.size:,}"
    if entry.size > entry.packed * _MAX_DEFLATE_RATIO:
        return f"is said to hold {entry.size:,} bytes, more than its {entry.packed:,} bytes can be decompressed to"
    return ""


def _check_layout(file: Readable, entries: list[_Entry], end: int) -> dict[int, int]:
    """Check that members follow each other without overlap or hole; return where data start, by place of the header."""
    starts: dict[int, int] = {}
    ordered = sorted(entries, key=lambda entry: entry.header)
    first = ordered[0].header if ordered else end
    if first:
        raise LoadError(file.name, f"{first:,} bytes belong to no member of the archive", 0)
    limits = [*(entry.header for entry in ordered), end][1:]
    for entry, limit in zip(ordered, limits, strict=True):
        start = _local_data(file, entry, limit)
        rest = limit - start - entry.packed
        if rest < 0:
            raise LoadError(file.name, f"member {shown(entry.name)} reaches into what follows it", limit)
        if rest and not _is_descriptor(file, entry, start + entry.packed, rest):
            raise LoadError(file.name, f"{rest:,} bytes belong to no member of the archive", start + entry.packed)
        starts[entry.header] = start
    return starts


def _local_data(file: Readable, entry: _Entry, limit: int) -> int:
    """Return where the data of a member start, after comparing its own header with the directory."""
    at = entry.header
    if at + _LOCAL.size + len(entry.raw_name) > limit:
        raise LoadError(file.name, f"member {shown(entry.name)} overlaps with what follows it", min(at, limit))
    head = file.read(at, min(_LOCAL.size + len(entry.raw_name) + 64, limit - at))  # mostly includes the extra field
    fields: tuple[Any, ...] = _LOCAL.unpack_from(head)
    signature, _, flags, method, _, _, crc32, packed, size, n_name, n_extra = fields
    if signature != b"PK\x03\x04":
        raise LoadError(file.name, f"member {shown(entry.name)} does not start here", at)
    start: int = at + _LOCAL.size + n_name + n_extra
    if start > limit:
        raise LoadError(file.name, f"the header of member {shown(entry.name)} is longer than the member", at)
    place = _LOCAL.size + n_name
    extra = head[place : place + n_extra] if place + n_extra <= len(head) else file.read(at + place, n_extra)
    wide = _wide_sizes(extra, (size, packed))
    same = (head[_LOCAL.size : place], flags, method) == (entry.raw_name, entry.flags, entry.method)
    if not flags & _STREAMED:  # else the sizes follow the data
        same = same and wide == (entry.size, entry.packed) and crc32 == entry.crc32
    if not same:
        raise LoadError(file.name, f"the header of member {shown(entry.name)} and the zip directory disagree", at)
    return start


def _is_descriptor(file: Readable, entry: _Entry, at: int, length: int) -> bool:
    """Whether the bytes after the data repeat CRC and sizes, as a writer to a pipe leaves them."""
    if not entry.flags & _STREAMED or length > 24:  # noqa: PLR2004 - the longest form
        return False
    numbers = (entry.crc32, entry.packed, entry.size)
    forms = {struct.pack("<L2Q", *numbers)}
    if max(numbers) <= _FULL_32:
        forms.add(struct.pack("<3L", *numbers))
    return file.read(at, length) in forms | {b"PK\x07\x08" + form for form in forms}
