"""Reading files without trust: regular files only, every read checked against the size seen at opening."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

from diffai_core.descriptors import Descriptor, OpenFiles
from diffai_core.errors import LoadError
from diffai_core.specs import HEAD_BYTES


class _Identity(NamedTuple):
    device: int
    inode: int
    size: int
    mtime_ns: int


class DataFile:
    """A regular file open for reading at any place, by several threads at once.

    Reads are positioned (``pread``), so that a file that shrinks gives a ``LoadError`` and not a signal.
    Picklable: another process reopens the file and refuses one that is no longer the same. So does a read after
    ``release``.

    Args:
        path: Where the file is.
        name: How messages call it; the path if not given.
        open_files: Those that share a bound on open files with it, if there is one.

    Raises:
        LoadError: If it cannot be opened or is not a regular file.
    """

    def __init__(
        self, path: str | os.PathLike[str], name: str | None = None, open_files: OpenFiles | None = None
    ) -> None:
        self.path = os.fspath(path)
        self.name = name or self.path
        self._open_files = open_files
        self._lock = Lock()
        self._closed = False
        self._map: mmap.mmap | None = None
        self._descriptor: Descriptor | None
        number, self._identity = self._open()
        self._descriptor = Descriptor(number)
        self._count()

    def _open(self) -> tuple[int, _Identity]:
        try:
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            number = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise LoadError(self.name, _os_reason(error)) from error
        try:
            return number, self._identity_in(os.fstat(number))
        except BaseException:
            os.close(number)
            raise

    def _identity_in(self, status: os.stat_result) -> _Identity:
        if stat.S_ISDIR(status.st_mode):
            raise LoadError(self.name, "is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise LoadError(self.name, "is not a regular file (a pipe, socket or device); save it to a file first")
        return _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def _count(self) -> None:
        """Take part in the bound; never with the lock held, because others are released for it."""
        if self._open_files is not None:
            self._open_files.add(self)

    def _reopened(self) -> Descriptor:
        """Open a released file again, unless another thread has done so."""
        with self._lock:
            self._refuse_if_closed()
            descriptor = self._descriptor
            if descriptor is None:
                number, identity = self._open()
                descriptor = Descriptor(number)
                if identity != self._identity:
                    descriptor.retire()
                    raise self._changed(identity)
                self._descriptor = descriptor
        self._count()
        return descriptor

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise LoadError(self.name, "was closed while it was still needed")

    def _changed(self, identity: _Identity) -> LoadError:
        if identity[:2] != self._identity[:2]:
            return LoadError(self.name, "the file is no longer the one that was opened")
        return LoadError(self.name, "the file was written to while it was read; run again when it is complete")

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
            LoadError: If the file ends before, or was closed.
        """
        data = self._pread(offset, count)
        while len(data) < count:
            more = self._pread(offset + len(data), count - len(data))
            if not more:
                raise self._short(offset + len(data), count - len(data))
            data += more
        return data

    def hold(self) -> Descriptor:
        """Return the descriptor; as long as the object lives, its number means this file and no other.

        Raises:
            LoadError: If the file was closed, or released and is no longer the same.
        """
        return self._descriptor or self._reopened()

    def _pread(self, offset: int, count: int) -> bytes:
        descriptor = self.hold()
        try:
            return os.pread(descriptor.number, count, offset)
        except OSError as error:
            raise LoadError(self.name, _os_reason(error), offset) from error
        finally:
            del descriptor  # the traceback of an error would keep the file open

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill ``buffer`` with the bytes at ``offset``.

        Raises:
            LoadError: If the file ends before, or was closed.
        """
        count = len(buffer)
        done = self._pread_into(offset, buffer)
        while done < count:
            more = self._pread_into(offset + done, memoryview(buffer)[done:])
            if not more:
                raise self._short(offset + done, count - done)
            done += more

    def _pread_into(self, offset: int, buffer: bytearray | memoryview) -> int:
        descriptor = self.hold()
        try:
            return os.preadv(descriptor.number, [buffer], offset)
        except OSError as error:
            raise LoadError(self.name, _os_reason(error), offset) from error
        finally:
            del descriptor

    def _short(self, offset: int, missing: int) -> LoadError:
        if self._status().st_size < self.size:
            return LoadError(self.name, f"the file shrank while it was read ({missing:,} bytes are missing)", offset)
        return LoadError(self.name, f"the file ends here, {missing:,} bytes too early", offset)

    def _status(self) -> os.stat_result:
        """Return what the operating system knows of the file; of a released one, what is now at its path."""
        self._refuse_if_closed()
        descriptor = self._descriptor
        try:
            return Path(self.path).stat() if descriptor is None else os.fstat(descriptor.number)
        except OSError as error:
            raise LoadError(self.name, _os_reason(error)) from error
        finally:
            del descriptor

    def map(self) -> memoryview:
        """Return the whole file as a read-only view without copying.

        For a second look at single tensors; the pass itself uses ``read_into``, which is faster and stays
        safe when another program shortens the file.

        Raises:
            LoadError: If the file has changed its size, cannot be mapped, or was closed.
        """
        if self._status().st_size < self.size:
            raise LoadError(self.name, "the file shrank while it was read")
        if self.size == 0:
            return memoryview(b"")
        return memoryview(self._map or self._mapped())

    def _mapped(self) -> mmap.mmap:
        descriptor = self.hold()
        try:
            found = self._map = mmap.mmap(descriptor.number, self.size, access=mmap.ACCESS_READ)
        except OSError as error:
            raise LoadError(self.name, _os_reason(error)) from error
        finally:
            del descriptor
        return found

    def forget(self, offset: int, n_bytes: int) -> None:
        """Let the memory go that a map of these bytes takes; they are read again where they are needed again."""
        if self._map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        begin, stop = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE, offset + n_bytes
        if begin < stop:
            self._map.madvise(mmap.MADV_DONTNEED, begin, stop - begin)

    def check_unchanged(self) -> None:
        """Make sure that the file is still what was opened.

        Raises:
            LoadError: If it was written to in the meantime, so that what was read may belong to two versions; or if
                it was closed, so that nobody can tell.
        """
        identity = self._identity_in(self._status())
        if identity != self._identity:
            raise self._changed(identity)

    def release(self) -> None:
        """Hold no descriptor until the next read, which opens the file again. Views in use keep their pages."""
        if self._open_files is not None:
            self._open_files.discard(self)  # first: a file opened again in between must stay counted
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
            self._map = None  # it goes with its last view
        if descriptor is not None:
            descriptor.retire()

    def close(self) -> None:
        """Close the file for good. Views that are still in use keep their pages."""
        with self._lock:  # not while another thread opens it again
            self._closed = True
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DataFile({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.path, self.name, tuple(self._identity))


def _unpickled(path: str, name: str, identity: tuple[int, int, int, int]) -> DataFile:
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
        open_files: Bounds how many files are open at once; those of a directory share it.
    """

    def __init__(
        self, path: str | os.PathLike[str], name: str | None = None, open_files: OpenFiles | None = None
    ) -> None:
        self.path = Path(path)
        self.name = name or os.fspath(path)
        self._open_files = open_files or OpenFiles()

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
        return DataFile(self.path, self.name, self._open_files)

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
        return self._inside(self.path.joinpath(*parts), relative)

    def listed(self, relative: str) -> Source:
        """Return what a listing of this directory has found, whatever characters its name holds; never one outside.

        Args:
            relative: Path below this directory, as the operating system gave it.

        Raises:
            LoadError: If it is, or lies under, a link that leads out of the directory.
        """
        return self._inside(self.path / relative, relative)

    def _inside(self, path: Path, relative: str) -> Source:
        resolved = Path(os.path.realpath(path))  # Path.resolve() would raise where links run in a circle
        if not any(resolved.is_relative_to(root) for root in self._allowed_roots):
            raise LoadError(self.name, f"{relative!r} is a link that leads out of the folder")
        return Source(path, f"{self.name.rstrip('/')}/{relative}", self._open_files)

    @cached_property
    def _allowed_roots(self) -> list[Path]:
        root = self.path.resolve()
        if root.parent.name == "snapshots":
            return [root, root.parent.parent / "blobs"]
        return [root]
