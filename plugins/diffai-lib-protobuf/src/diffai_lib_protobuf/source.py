"""Where the bytes of a message come from: a file behind a small window, or memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

_FIRST_WINDOW = 4 << 10
_LARGEST_WINDOW = 64 << 10


class ByteSource(Protocol):
    """Bytes that can be looked at in any place."""

    size: int

    def window(self, position: int, count: int) -> tuple[int, bytes]:
        """Return where a piece of the bytes begins, and the piece; it holds ``count`` bytes at ``position``.

        Args:
            position: The first byte that is needed.
            count: How many are needed; they lie inside the source.
        """

    def read(self, position: int, count: int) -> bytes:
        """Return ``count`` bytes at ``position``."""

    def error(self, reason: str, position: int) -> LoadError:
        """Return the error that places ``reason`` at ``position``."""


class FileBytes:
    """A file, looked at through a window that grows while reading goes on in a row and is small again after a leap.

    Args:
        file: The file.
    """

    def __init__(self, file: DataFile) -> None:
        self.file = file
        self.size = file.size
        self._window = (0, b"")  # one object, so that threads may share it
        self._step = _FIRST_WINDOW

    def window(self, position: int, count: int) -> tuple[int, bytes]:
        """Return a piece of the file around ``position``.

        Raises:
            LoadError: If the file has become shorter.
        """
        begin, data = self._window
        end = begin + len(data)
        if begin <= position and position + count <= end:
            return self._window
        in_a_row = begin <= position <= end
        self._step = min(self._step * 2, _LARGEST_WINDOW) if in_a_row else _FIRST_WINDOW
        n_bytes = min(max(self._step, count), self.size - position)
        found = self._window = (position, self.file.read(position, n_bytes))
        return found

    def read(self, position: int, count: int) -> bytes:
        """Return bytes of the file; short ones move the window.

        Raises:
            LoadError: If the file has become shorter.
        """
        begin, data = self._window
        if not begin <= position <= begin + len(data) - count:
            if count > _FIRST_WINDOW:
                return self.file.read(position, count)
            begin, data = self.window(position, count)
        return data[position - begin : position - begin + count]

    def error(self, reason: str, position: int) -> LoadError:
        """Name the file and the byte in it."""
        return LoadError(self.file.name, reason, position)

    def __reduce__(self) -> tuple[type[FileBytes], tuple[DataFile]]:
        return FileBytes, (self.file,)


class MemoryBytes:
    """Bytes in memory.

    Args:
        data: The bytes.
        name: How messages call the file that they come from.
        offset: Where they begin in that file.
    """

    def __init__(self, data: bytes, name: str, offset: int = 0) -> None:
        self.size = len(data)
        self._data = data
        self._name = name
        self._offset = offset

    def window(self, position: int, count: int) -> tuple[int, bytes]:  # noqa: ARG002 - all of it is at hand
        """Return everything."""
        return 0, self._data

    def read(self, position: int, count: int) -> bytes:
        """Return a copy of some bytes."""
        return self._data[position : position + count]

    def error(self, reason: str, position: int) -> LoadError:
        """Name the file that the bytes come from."""
        return LoadError(self._name, reason, self._offset + position)
