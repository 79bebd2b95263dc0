"""Bytes in which an HDF5 file lies, and taking numbers out of them with every bound checked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

MAX_METADATA_BYTES = 64 << 20
"""Most bytes of one header, node or heap that are read at once."""

_SHOWN = 100


def shown(name: str) -> str:
    """Return ``name`` as messages show it: quoted, control characters escaped, not endless."""
    return repr(name) if len(name) <= _SHOWN else f"{name[:_SHOWN]!r}…"


class UnsupportedError(LoadError):
    """A part of the file is sound as far as can be seen, and uses something that is not read."""


class Region(ABC):
    """Bytes that hold an HDF5 file: a whole file, a part of one, or decompressed. Picklable."""

    @property
    @abstractmethod
    def file(self) -> DataFile:
        """The file in which it lies."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of bytes."""

    @abstractmethod
    def file_offset(self, at: int) -> int | None:
        """Return where byte ``at`` lies in ``file``; ``None`` if it does not lie there as it is."""

    def place(self, at: int) -> int | None:
        """Return where in ``file`` a message about byte ``at`` points."""
        return self.file_offset(at)

    @abstractmethod
    def read_into(self, at: int, buffer: memoryview) -> None:
        """Fill ``buffer`` with the bytes at ``at``.

        Raises:
            LoadError: If they are not all there.
        """

    @abstractmethod
    def narrowed(self, start: int) -> Region:
        """Return the part from byte ``start`` on."""

    def error(self, reason: str, at: int) -> LoadError:
        """Return the error that places ``reason`` at byte ``at``."""
        return LoadError(self.file.name, reason, self.place(at))

    def unsupported(self, reason: str, at: int) -> UnsupportedError:
        """Return the error for something at ``at`` that is not read."""
        return UnsupportedError(self.file.name, reason, self.place(at))

    def check(self, what: str, at: int, count: int) -> None:
        """Make sure that ``count`` bytes at ``at`` are inside.

        Raises:
            LoadError: If they are not.
        """
        if at < 0 or count < 0 or at + count > self.size:
            reason = f"{what} is said to fill bytes {at:,} to {at + count:,} of {self.size:,}"
            raise self.error(reason, min(max(at, 0), self.size))

    def read(self, what: str, at: int, count: int) -> bytes:
        """Return ``count`` bytes of metadata at ``at``.

        Raises:
            LoadError: If they are outside, or too many for metadata.
        """
        self.check(what, at, count)
        if count > MAX_METADATA_BYTES:
            raise self.error(f"{what} is said to have {count:,} bytes; at most {MAX_METADATA_BYTES:,} are read", at)
        buffer = bytearray(count)
        self.read_into(at, memoryview(buffer))
        return bytes(buffer)


@dataclass(frozen=True)
class FileRegion(Region):
    """A part of a file that lies there as it is.

    Args:
        data_file: The file.
        start: Offset of the first byte.
        length: Number of bytes.
    """

    data_file: DataFile
    start: int
    length: int

    @property
    def file(self) -> DataFile:
        """The file."""
        return self.data_file

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.length

    def file_offset(self, at: int) -> int | None:
        """Return the place in the file."""
        return self.start + at

    def narrowed(self, start: int) -> Region:
        """Return the part from byte ``start`` on."""
        return FileRegion(self.file, self.start + start, self.size - start)

    def read_into(self, at: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from the file."""
        self.file.read_into(self.start + at, buffer)


@dataclass(frozen=True)
class Store:
    """An HDF5 file: the region and how wide its numbers are.

    Args:
        region: Where it lies, from the superblock on; addresses count from there.
        address_bytes: Bytes of an address.
        length_bytes: Bytes of a length.
    """

    region: Region
    address_bytes: int
    length_bytes: int

    def cursor(self, what: str, at: int, count: int) -> Cursor:
        """Read ``count`` bytes at address ``at``.

        Raises:
            LoadError: If they are not there.
        """
        return Cursor(self, self.region.read(what, at, count), at, what)

    def upto(self, what: str, at: int, count: int) -> Cursor:
        """Read ``count`` bytes at ``at``, or less where the file ends before."""
        return self.cursor(what, at, max(0, min(count, self.region.size - at)) if at >= 0 else count)

    def error(self, reason: str, at: int) -> LoadError:
        """Return the error that places ``reason`` at address ``at``."""
        return self.region.error(reason, at)


class Cursor:
    """A place in some bytes of metadata, from which values are taken one after the other.

    Args:
        store: The HDF5 file.
        data: The bytes.
        origin: Address of the first of them.
        what: What they are, in messages.
    """

    __slots__ = ("data", "end", "origin", "position", "store", "what")

    def __init__(self, store: Store, data: bytes, origin: int, what: str) -> None:
        self.store = store
        self.data = data
        self.origin = origin
        self.what = what
        self.position = 0
        self.end = len(data)

    @property
    def address(self) -> int:
        """Address of the next byte."""
        return self.origin + self.position

    @property
    def left(self) -> int:
        """Bytes that were not taken yet."""
        return self.end - self.position

    def error(self, reason: str) -> LoadError:
        """Return the error that places ``reason`` here."""
        return self.store.error(reason, self.address)

    def unsupported(self, reason: str) -> UnsupportedError:
        """Return the error for something here that is not read."""
        return self.store.region.unsupported(reason, self.address)

    def take(self, count: int) -> bytes:
        """Take ``count`` bytes.

        Raises:
            LoadError: If they are not there.
        """
        start = self.position
        stop = start + count
        if stop > self.end or count < 0:
            raise self.error(f"{self.what} ends before its last field")
        self.position = stop
        return self.data[start:stop]

    def skip(self, count: int) -> None:
        """Step over ``count`` bytes."""
        self.take(count)

    def uint(self, n_bytes: int) -> int:
        """Take an unsigned number of ``n_bytes``."""
        return int.from_bytes(self.take(n_bytes), "little")

    def u8(self) -> int:
        """Take a byte."""
        return self.uint(1)

    def u16(self) -> int:
        """Take two bytes."""
        return self.uint(2)

    def u32(self) -> int:
        """Take four bytes."""
        return self.uint(4)

    def length(self) -> int:
        """Take a length."""
        return self.uint(self.store.length_bytes)

    def pointer(self) -> int | None:
        """Take an address; ``None`` if it is undefined."""
        n_bytes = self.store.address_bytes
        found = self.uint(n_bytes)
        return None if found == (1 << 8 * n_bytes) - 1 else found

    def target(self) -> int:
        """Take an address that must be defined."""
        found = self.pointer()
        if found is None:
            raise self.error(f"{self.what} has no address where it needs one")
        return found

    def expect(self, signature: bytes) -> None:
        """Take the four letters that begin most structures.

        Raises:
            LoadError: If others stand there.
        """
        if self.data[self.position : self.position + len(signature)] != signature:
            raise self.error(f"{self.what} does not start here ({signature.decode()} is missing)")
        self.position += len(signature)

    def version(self, *known: int) -> int:
        """Take a version number that must be one of ``known``."""
        found = self.u8()
        if found not in known:
            self.position -= 1
            raise self.error(f"{self.what} has version {found}, which is not known")
        return found

    def text(self) -> bytes:
        """Take bytes up to a NUL, and that."""
        stop = self.data.find(b"\0", self.position, self.end)
        if stop < 0:
            raise self.error(f"{self.what} holds a name without end")
        found = self.data[self.position : stop]
        self.position = stop + 1
        return found

    def name(self, raw: bytes) -> str:
        """Return a name as text; one that is not UTF-8 keeps its bytes as surrogates would, in a printable form."""
        try:
            found = raw.decode()
        except UnicodeDecodeError:
            found = raw.decode("latin-1")
        if "\0" in found:
            raise self.error(f"{self.what} holds a name with a NUL")
        return found

    def part(self, count: int, what: str) -> Cursor:
        """Take ``count`` bytes as a cursor of their own."""
        at = self.address
        return Cursor(self.store, self.take(count), at, what)
