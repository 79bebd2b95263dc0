"""Where the bytes of a pickle come from, and reading them forward with every length checked first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

_WINDOW_BYTES = 1 << 16
_MAX_LINE = 1 << 26


class Source(Protocol):
    """Bytes at positions from 0 on."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read(self, position: int, count: int) -> bytes:
        """Return ``count`` bytes; the caller keeps within ``size``."""

    def error(self, reason: str, position: int) -> LoadError:
        """Return the error that places ``reason``."""

    def offset(self, position: int) -> int:
        """Return the byte of the file that a position stands for."""


@dataclass(frozen=True)
class FileSource:
    """A stretch of a file.

    Args:
        file: The file.
        start: Offset of position 0.
        size: Number of bytes.
    """

    file: DataFile
    start: int
    size: int

    def read(self, position: int, count: int) -> bytes:
        """Read from the file."""
        return self.file.read(self.start + position, count)

    def error(self, reason: str, position: int) -> LoadError:
        """Name the file and the byte."""
        return LoadError(self.file.name, reason, self.start + position)

    def offset(self, position: int) -> int:
        """Count from the start of the file."""
        return self.start + position


@dataclass(frozen=True)
class BytesSource:
    """Bytes in memory, such as a member that was decompressed.

    Args:
        data: The bytes.
        name: What messages call the file that they are from.
        start: Offset in the file of position 0, or of the compressed data.
        is_packed: Whether positions are no offsets, because the file holds the bytes compressed.
    """

    data: bytes
    name: str
    start: int = 0
    is_packed: bool = False

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.data)

    def read(self, position: int, count: int) -> bytes:
        """Cut them out."""
        return self.data[position : position + count]

    def error(self, reason: str, position: int) -> LoadError:
        """Name the file and the byte, or where the compressed data begin."""
        return LoadError(self.name, reason, self.offset(position))

    def offset(self, position: int) -> int:
        """Count from the start of the file."""
        return self.start if self.is_packed else self.start + position


class Window:
    """Reads a source forward through a window.

    Args:
        source: The bytes.
        position: Where to begin.
    """

    def __init__(self, source: Source, position: int) -> None:
        self.source = source
        self.data = b""
        self.at = 0
        self._base = position

    @property
    def position(self) -> int:
        """Position in the source of what is read next."""
        return self._base + self.at

    def move(self, position: int) -> None:
        """Go on at another place."""
        self._base = position
        self.at = 0
        self.data = b""

    def refill(self, count: int) -> None:
        """Make at least ``count`` bytes available at the start of the window.

        Raises:
            LoadError: If the source ends before.
        """
        self.move(self.position)
        self.check(count)
        left = self.source.size - self._base
        self.data = self.source.read(self._base, min(max(count, _WINDOW_BYTES), left))

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self.at + count
        if end > len(self.data):
            self.refill(count)
            end = count
        data = self.data[end - count : end]
        self.at = end
        return data

    def byte(self) -> int:
        """Return the next byte."""
        at = self.at
        if at >= len(self.data):
            self.refill(1)
            at = 0
        self.at = at + 1
        return self.data[at]

    def uint32(self) -> int:
        """Return the next four bytes as a number."""
        at = self.at
        if at + 4 > len(self.data):
            self.refill(4)
            at = 0
        self.at = at + 4
        return int.from_bytes(self.data[at : at + 4], "little")

    def check(self, count: int) -> None:
        """Make sure that ``count`` bytes follow.

        Raises:
            LoadError: If the source ends before.
        """
        left = self.source.size - self.position
        if count > left:
            raise self.source.error(f"the pickle ends here, {count - left:,} bytes too early", self.source.size)

    def skip(self, count: int) -> int:
        """Pass over ``count`` bytes and return where they begin."""
        self.check(count)
        position = self.position
        self.move(position + count)
        return position

    def line(self) -> bytes:
        """Return what is left of the line, without its end.

        Raises:
            ValueError: If it is longer than any that is allowed.
        """
        end = self.data.find(b"\n", self.at)
        count = _WINDOW_BYTES
        while end < 0:
            left = self.source.size - self.position
            self.refill(min(count, left))
            end = self.data.find(b"\n")
            if end < 0 and count >= min(left, _MAX_LINE):
                raise ValueError("a line does not end")
            count *= 4
        line = self.data[self.at : end]
        self.at = end + 1
        return line
