"""A compressed variable: a zlib stream, read forward and only as far as it is needed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5 import Region

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

PIECE_BYTES = 1 << 18
MAX_RATIO = 1032
"""Bytes to which one compressed byte can grow."""

_SMALL_PIECE_BYTES = 1 << 10  # the first look is for a header
_PADDING = 8


@dataclass(frozen=True)
class InflatedRegion(Region):
    """What a zlib stream holds. Reading forward continues; reading back begins again.

    Args:
        data_file: The file.
        start: Offset of the stream.
        packed: Bytes of the stream.
        length: Bytes that it is said to hold.
    """

    data_file: DataFile
    start: int
    packed: int
    length: int

    @property
    def file(self) -> DataFile:
        """The file."""
        return self.data_file

    @property
    def size(self) -> int:
        """Bytes that the stream is said to hold."""
        return self.length

    def file_offset(self, at: int) -> int | None:  # noqa: ARG002 - no byte of it is in the file
        """Return ``None``: no byte lies in the file as it is."""
        return None

    def place(self, at: int) -> int | None:  # noqa: ARG002 - a place in a stream is none in the file
        """Return where the stream begins."""
        return self.start

    def narrowed(self, start: int) -> Region:
        """Never asked for: a variable is read as a whole."""
        raise NotImplementedError(start)

    def read_into(self, at: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the bytes at ``at``; at the end of the stream its checksum is compared.

        Raises:
            LoadError: If the stream is damaged or ends before.
        """
        with self._lock:
            self._inflater.read_into(at, buffer)

    @cached_property
    def _lock(self) -> Lock:
        return Lock()

    @cached_property
    def _inflater(self) -> _Inflater:
        return _Inflater(self)

    def __getstate__(self) -> dict[str, Any]:
        names = ("data_file", "start", "packed", "length")
        return {name: self.__dict__[name] for name in names}


class _Inflater:
    def __init__(self, region: InflatedRegion) -> None:
        self._region = region
        self._begin()

    def _begin(self) -> None:
        self._stream = zlib.decompressobj()
        self._position = 0
        self._taken = 0
        self._pending = b""

    def read_into(self, at: int, buffer: memoryview) -> None:
        if at < self._position:
            self._begin()
        while self._position < at:
            self._next(min(at - self._position, PIECE_BYTES))
        filled = 0
        while filled < len(buffer):
            data = self._next(min(len(buffer) - filled, PIECE_BYTES))
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        if self._region.size - self._position < _PADDING:
            self._finish()

    def _next(self, limit: int) -> bytes:
        """Return at least one byte and at most ``limit``."""
        while True:
            data = self._inflate(limit)
            if data:
                self._position += len(data)
                return data
            if self._stream.eof:
                raise self._error(f"a compressed variable ends after {self._position:,} bytes, too early")

    def _inflate(self, limit: int) -> bytes:
        given = self._pending or self._take_packed()
        try:
            data = self._stream.decompress(given, limit)
        except zlib.error as error:
            raise self._error(f"the compressed data of a variable are damaged ({error})") from error
        self._pending = self._stream.unconsumed_tail
        if not data and not given and not self._stream.eof:
            raise self._error("the compressed data of a variable end too early")
        return data

    def _take_packed(self) -> bytes:
        size = PIECE_BYTES if self._taken else _SMALL_PIECE_BYTES
        count = min(size, self._region.packed - self._taken)
        self._taken += count
        return self._region.file.read(self._region.start + self._taken - count, count)

    def _finish(self) -> None:
        """Take what may follow the last element, and with it the checksum."""
        n_more = 0
        while not self._stream.eof:
            n_more += len(self._inflate(_PADDING))
            if n_more > _PADDING:
                raise self._error(f"a compressed variable goes on after its {self._region.size:,} bytes")
        self._position += n_more

    def _error(self, reason: str) -> Any:
        return self._region.error(reason, 0)
