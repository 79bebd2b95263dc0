"""Reading files without trust: regular files only, every read checked against the size seen at opening."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from diffai_core.errors import LoadError

HEAD_BYTES = 4096
"""Bytes at the start of a file that the choice of a loader may look at."""


class _Identity(NamedTuple):
    device: int
    inode: int
    size: int
    mtime_ns: int


class DataFile:
    """A regular file open for reading at any place, by several threads at once.

    Reads are positioned (``pread``), so that a file that shrinks gives a ``LoadError`` and not a signal.
    Picklable: another process reopens the file and refuses one that is no longer the same.

    Args:
        path: Where the file is.
        name: How messages call it; the path if not given.

    Raises:
        LoadError: If it cannot be opened or is not a regular file.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = os.fspath(path)
        self.name = name or self.path
        self._map: mmap.mmap | None = None
        self._fd = -1
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
            self._identity = self._stat()
        except OSError as error:
            self.close()
            raise LoadError(self.name, _os_reason(error)) from error
        except LoadError:
            self.close()
            raise

    def _stat(self) -> _Identity:
        status = os.fstat(self._fd)
        if stat.S_ISDIR(status.st_mode):
            raise LoadError(self.name, "is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise LoadError(self.name, "is not a regular file (a pipe, socket or device); save it to a file first")
        return _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self._identity.size

    def same_file(self, other: DataFile) -> bool:
        """Whether both are one file on disk (the same path, or a hard or symbolic link)."""
        return self._identity[:2] == other._identity[:2]

    def read(self, offset: int, count: int) -> bytes:
        """Return exactly ``count`` bytes at ``offset``.

        Raises:
            LoadError: If the file ends before.
        """
        data = self._pread(offset, count)
        while len(data) < count:
            more = self._pread(offset + len(data), count - len(data))
            if not more:
                raise self._short(offset + len(data), count - len(data))
            data += more
        return data

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill ``buffer`` with the bytes at ``offset``.

        Raises:
            LoadError: If the file ends before.
        """
        count = len(buffer)
        try:
            done = os.preadv(self._fd, [buffer], offset)
            while done < count:
                more = os.preadv(self._fd, [memoryview(buffer)[done:]], offset + done)
                if not more:
                    raise self._short(offset + done, count - done)
                done += more
        except OSError as error:
            raise LoadError(self.name, _os_reason(error), offset) from error

    def _pread(self, offset: int, count: int) -> bytes:
        try:
            return os.pread(self._fd, count, offset)
        except OSError as error:
            raise LoadError(self.name, _os_reason(error), offset) from error

    def _short(self, offset: int, missing: int) -> LoadError:
        if os.fstat(self._fd).st_size < self.size:
            return LoadError(self.name, f"the file shrank while it was read ({missing:,} bytes are missing)", offset)
        return LoadError(self.name, f"the file ends here, {missing:,} bytes too early", offset)

    def map(self) -> memoryview:
        """Return the whole file as a read-only view without copying.

        For a second look at single tensors; the pass itself uses ``read_into``, which is faster and stays
        safe when another program shortens the file.

        Raises:
            LoadError: If the file has changed its size, or cannot be mapped.
        """
        if os.fstat(self._fd).st_size < self.size:
            raise LoadError(self.name, "the file shrank while it was read")
        if self.size == 0:
            return memoryview(b"")
        if self._map is None:
            try:
                self._map = mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ)
            except OSError as error:
                raise LoadError(self.name, _os_reason(error)) from error
        return memoryview(self._map)

    def check_unchanged(self) -> None:
        """Make sure that the file is still what was opened.

        Raises:
            LoadError: If it was written to in the meantime, so that what was read may belong to two versions.
        """
        if self._stat() != self._identity:
            raise LoadError(self.name, "the file was written to while it was read; run again when it is complete")

    def close(self) -> None:
        """Close the file. Views that are still in use keep their pages."""
        if self._map is not None:
            with suppress(BufferError):  # a view outlives us; the map goes with the last one
                self._map.close()
            self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DataFile({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.path, self.name, tuple(self._identity))


def _reopen(path: str, name: str, identity: tuple[int, int, int, int]) -> DataFile:
    file = DataFile(path, name)
    if tuple(file._identity) != identity:  # noqa: SLF001 - the constructor of a pickled DataFile
        file.close()
        raise LoadError(name, "the file is no longer the one that was opened")
    return file


def _os_reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "no such file or directory"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "permission denied"
    if error.errno == errno.EISDIR:
        return "is a directory, not a file"
    if error.errno == errno.ENXIO:
        return "is not a regular file (a pipe, socket or device); save it to a file first"
    return error.strerror or str(error)


class Source:
    """A file or directory to be opened by a loader.

    Args:
        path: Where it is.
        name: How messages call it; the path as given if omitted.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or os.fspath(path)

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @property
    def is_folder(self) -> bool:
        """Whether this is a directory."""
        return self.path.is_dir()

    def open(self) -> DataFile:
        """Open the file.

        Raises:
            LoadError: If there is none, or it is not a regular file, or may not be read.
        """
        return DataFile(self.path, self.name)

    def head(self) -> tuple[bytes, int]:
        """Return the first 4 KiB and the size of the file in bytes.

        Raises:
            LoadError: If it cannot be opened.
        """
        with self.open() as file:
            return file.read(0, min(HEAD_BYTES, file.size)), file.size

    def child(self, relative: str) -> Source:
        """Return a file inside this directory, never one outside.

        Links are followed only to targets in the directory itself or, in a Hugging Face cache, in its ``blobs``.

        Args:
            relative: Path with forward slashes, as written in an index file.

        Raises:
            LoadError: If the path is absolute, contains ``..``, or leads outside.
        """
        parts = relative.replace("\\", "/").split("/")
        if not relative or relative.startswith("/") or "\0" in relative or ".." in parts or ":" in parts[0]:
            raise LoadError(self.name, f"names the file {relative!r}, which is not inside the folder")
        path = self.path.joinpath(*parts)
        resolved = Path(os.path.realpath(path))  # Path.resolve() would raise where links run in a circle
        if not any(resolved.is_relative_to(root) for root in _allowed_roots(self.path)):
            raise LoadError(self.name, f"{relative!r} is a link that leads out of the folder")
        return Source(path, f"{self.name.rstrip('/')}/{relative}")


def _allowed_roots(folder: Path) -> list[Path]:
    root = folder.resolve()
    if root.parent.name == "snapshots":
        return [root, root.parent.parent / "blobs"]
    return [root]
