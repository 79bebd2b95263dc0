"""Where the bytes of a member or of a stretch of a file are; reading them in fixed memory and with every check."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError, shown
from diffai_lib_zip.directory import DEFLATED, Member

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

PIECE_BYTES = 1 << 18
"""Bytes taken at a time where nobody asks for a certain size."""

_SMALL_PIECE_BYTES = 1 << 12  # the first look at a member is for its header


class Reader(ABC):
    """Reads one payload, forward and in pieces; going back may mean to begin again."""

    @abstractmethod
    def read_into(self, position: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the bytes at ``position`` of the payload.

        Raises:
            LoadError: If they are damaged or not there.
        """

    @abstractmethod
    def finish(self) -> None:
        """Read what was not read yet, so that the payload is known to be intact.

        Raises:
            LoadError: If it is not.
        """

    def read(self, position: int, count: int) -> bytes:
        """Return ``count`` bytes at ``position``; the caller has bounded ``count``."""
        buffer = bytearray(count)
        self.read_into(position, memoryview(buffer))
        return bytes(buffer)


class Payload(ABC):
    """Bytes that can be read; picklable."""

    file: DataFile

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of bytes."""

    @property
    @abstractmethod
    def offset(self) -> int:
        """Where they begin in the file, as stored there."""

    @property
    @abstractmethod
    def compressed(self) -> bool:
        """Whether going back means to decompress from the start."""

    @abstractmethod
    def reader(self) -> Reader:
        """Begin to read."""

    @abstractmethod
    def rereader(self) -> Reader:
        """Begin to read in leaps; costs more where the payload has a checksum or is compressed."""

    @abstractmethod
    def error(self, reason: str, position: int) -> LoadError:
        """Return the error that places ``reason`` at ``position`` of the payload."""


@dataclass(frozen=True)
class Region(Payload):
    """Bytes that lie in the file as they are, without a checksum.

    Args:
        file: The file.
        start: Offset of the first byte.
        length: Number of bytes.
    """

    file: DataFile
    start: int
    length: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.length

    @property
    def offset(self) -> int:
        """Offset of the first byte."""
        return self.start

    @property
    def compressed(self) -> bool:
        """Never."""
        return False

    def reader(self) -> Reader:
        """Read at any place."""
        return _RegionReader(self)

    def rereader(self) -> Reader:
        """Read at any place."""
        return _RegionReader(self)

    def error(self, reason: str, position: int) -> LoadError:
        """Place ``reason`` in the file."""
        return LoadError(self.file.name, reason, self.start + position)


@dataclass(frozen=True)
class MemberPayload(Payload):
    """A member of a zip file; whoever reads all of it has its CRC checked.

    Args:
        file: The zip file.
        member: The member.
    """

    file: DataFile
    member: Member

    @property
    def size(self) -> int:
        """Bytes after decompression, as the directory declares them."""
        return self.member.size

    @property
    def offset(self) -> int:
        """Offset of the first byte as stored."""
        return self.member.start

    @property
    def compressed(self) -> bool:
        """Whether the member is deflated."""
        return self.member.method == DEFLATED

    def reader(self) -> Reader:
        """Read forward with the checksum."""
        return _InflatingReader(self) if self.compressed else _StoredReader(self)

    def rereader(self) -> Reader:
        """Read at any place of a stored member, after one run for its checksum; decompress again for each step back."""
        reader = self.reader()
        if self.compressed:
            return reader
        reader.finish()
        return _RegionReader(Region(self.file, self.member.start, self.member.size))

    def error(self, reason: str, position: int) -> LoadError:
        """Name the member; a place in decompressed data is no place in the file, so that is where the data begin."""
        offset = self.member.start if self.compressed else self.member.start + position
        return LoadError(self.file.name, f"member {shown(self.member.name)}: {reason}", offset)


@dataclass(frozen=True)
class Held(Payload):
    """Bytes that are in memory already, because they are few or had to be decoded.

    Args:
        file: The file they are from.
        data: The bytes.
        start: Offset in the file of what they were decoded from.
    """

    file: DataFile
    data: bytes
    start: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    @property
    def offset(self) -> int:
        """Where they were decoded from."""
        return self.start

    @property
    def compressed(self) -> bool:
        """Never: they can be read at any place."""
        return False

    def reader(self) -> Reader:
        """Read at any place."""
        return _HeldReader(self.data)

    def rereader(self) -> Reader:
        """Read at any place."""
        return _HeldReader(self.data)

    def error(self, reason: str, position: int) -> LoadError:  # noqa: ARG002 - no place of the file
        """Place ``reason`` where the bytes are from."""
        return LoadError(self.file.name, reason, self.start)


def read_all(payload: Payload, limit: int) -> bytes:
    """Return all bytes of a payload, their checksum checked.

    Raises:
        LoadError: If there are more than ``limit``, or they are damaged.
    """
    if payload.size > limit:
        raise payload.error(f"holds {payload.size:,} bytes; at most {limit:,} are read", 0)
    reader = payload.reader()
    data = reader.read(0, payload.size)
    reader.finish()
    return data


class _RegionReader(Reader):
    def __init__(self, region: Region) -> None:
        self._region = region

    def read_into(self, position: int, buffer: memoryview) -> None:
        self._region.file.read_into(self._region.start + position, buffer)

    def finish(self) -> None:
        """Nothing more is known about the bytes."""


class _HeldReader(Reader):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_into(self, position: int, buffer: memoryview) -> None:
        buffer[:] = self._data[position : position + len(buffer)]

    def finish(self) -> None:
        """All of it is there."""


class _CheckedReader(Reader):
    """Reads a member from its start and compares the CRC when the last byte is there."""

    def __init__(self, payload: MemberPayload) -> None:
        self.payload = payload
        self.file = payload.file
        self.member = payload.member
        self._begin()

    def _begin(self) -> None:
        self._position = 0
        self._crc32 = 0

    def read_into(self, position: int, buffer: memoryview) -> None:
        if position < self._position:
            self._begin()
        self._skip_to(position)
        self._take(buffer)

    def finish(self) -> None:
        self._skip_to(self.member.size)
        if not self.member.size:
            self._take(memoryview(bytearray()))

    def _skip_to(self, position: int) -> None:
        if position > self._position:
            scratch = memoryview(bytearray(min(PIECE_BYTES, position - self._position)))
            while position > self._position:
                self._take(scratch[: position - self._position])

    def _take(self, buffer: memoryview) -> None:
        self._next(buffer)
        self._crc32 = zlib.crc32(buffer, self._crc32)
        self._position += len(buffer)
        if self._position == self.member.size:
            self._end()
            if self._crc32 != self.member.crc32:
                reason = f"its CRC is {self._crc32:08x} instead of {self.member.crc32:08x}; the data are damaged"
                raise self.payload.error(reason, 0)

    @abstractmethod
    def _next(self, buffer: memoryview) -> None:
        """Fill ``buffer`` with what follows."""

    def _end(self) -> None:
        """Check that nothing follows the last byte."""


class _StoredReader(_CheckedReader):
    def _next(self, buffer: memoryview) -> None:
        self.file.read_into(self.member.start + self._position, buffer)


class _InflatingReader(_CheckedReader):
    def _begin(self) -> None:
        super()._begin()
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._taken = 0
        self._pending = b""

    def _next(self, buffer: memoryview) -> None:
        filled = 0
        while filled < len(buffer):
            data = self._inflate(min(len(buffer) - filled, PIECE_BYTES))
            buffer[filled : filled + len(data)] = data
            filled += len(data)
            if not data and self._inflater.eof:
                raise self._damaged(f"it ends after {self._position + filled:,} of {self.member.size:,} bytes")

    def _end(self) -> None:
        while not self._inflater.eof:
            if self._inflate(1):
                raise self._damaged(f"it goes on after the {self.member.size:,} bytes it is said to hold")
        rest = len(self._inflater.unused_data) + self.member.packed - self._taken
        if rest:
            raise self._damaged(f"{rest:,} bytes follow the end of its compressed data")

    def _inflate(self, limit: int) -> bytes:
        """Return at most ``limit`` bytes; none at the end, or where the decompressor wants more input first."""
        # Without input the decompressor still gives what it holds back.
        given = self._pending or self._take_packed()
        try:
            data = self._inflater.decompress(given, limit)
        except zlib.error as error:
            raise self._damaged(f"its compressed data are damaged ({error})") from error
        self._pending = self._inflater.unconsumed_tail
        if not data and not given and not self._inflater.eof:
            raise self._damaged(f"its compressed data end after {self.member.packed:,} bytes, too early")
        return data

    def _take_packed(self) -> bytes:
        size = PIECE_BYTES if self._taken else _SMALL_PIECE_BYTES
        count = min(size, self.member.packed - self._taken)
        self._taken += count
        return self.file.read(self.member.start + self._taken - count, count)

    def _damaged(self, reason: str) -> LoadError:
        place = self.member.start + self._taken - len(self._pending)
        return LoadError(self.file.name, f"member {shown(self.member.name)}: {reason}", place)
