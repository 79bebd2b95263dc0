"""A compressed file as a stream that is read forward in bounded memory, and its parts as payloads."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from diffai_lib_zip import Payload, Reader

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile
    from diffai_load_pickle.methods import Method

MAX_RATIO = 1100
"""Most bytes that a byte may become; deflate reaches 1,032."""
MIN_UNPACKED = 64 << 20
"""What any file may become, however small it is."""

_PIECE = 1 << 16
_POOL = 4


class Stream:
    """Decompresses a file from the start on.

    Args:
        file: The compressed file.
        method: How it is compressed.
    """

    def __init__(self, file: DataFile, method: Method) -> None:
        self._file = file
        self._method = method
        self._place = method.skip
        self._held = b""
        self._at = 0
        self._limit = max(MIN_UNPACKED, file.size * MAX_RATIO)
        self.position = 0
        self._errors = method.errors()
        self._begin()

    def _begin(self) -> None:
        try:
            self._decompressor = self._method.make()
        except ImportError as error:
            name = self._method.name
            reason = f"is compressed with {name}, and its package does not work here ({error}); pip install {name}"
            raise LoadError(self._file.name, reason, 0) from error

    def read(self, count: int) -> bytes:
        """Return the next bytes: at least one and at most ``count``, or none at the end.

        Raises:
            LoadError: If the compressed data are damaged, end too early, or become too many.
        """
        while self._at == len(self._held):
            if not self._advance():
                return b""
        found = self._held[self._at : self._at + count]
        self._at += len(found)
        self.position += len(found)
        return found

    def _advance(self) -> bool:
        """Decompress the next piece; return whether there may be one."""
        packed = b""
        if self._decompressor.eof:
            rest = self._decompressor.unused_data or b""
            if not rest and self._place >= self._file.size:
                return False
            self._begin()  # another stream follows, as gzip and xz allow
            packed = rest
        if not packed and self._decompressor.needs_input:
            packed = self._file.read(self._place, min(_PIECE, self._file.size - self._place))
            self._place += len(packed)
            if not packed:
                raise LoadError(self._file.name, f"the {self._method.name} data end too early", self._file.size)
        try:
            self._held, self._at = self._decompressor.decompress(packed, _PIECE), 0
        except self._errors as error:
            reason = f"the {self._method.name} data are damaged ({error})"
            raise LoadError(self._file.name, reason, max(0, self._place - len(packed))) from error
        except MemoryError as error:
            reason = f"the {self._method.name} data ask for too much memory"
            raise LoadError(self._file.name, reason, self._method.skip) from error
        if self.position + len(self._held) > self._limit:
            reason = f"{self._file.size:,} bytes become more than {self._limit:,}, which no model does; decompress it"
            raise LoadError(self._file.name, reason, 0)
        return True

    def read_into(self, buffer: memoryview) -> None:
        """Fill ``buffer``.

        Raises:
            LoadError: If the stream ends before.
        """
        done = 0
        while done < len(buffer):
            piece = self.read(len(buffer) - done)
            if not piece:
                raise LoadError(self._file.name, "the decompressed data end too early", self._file.size)
            buffer[done : done + len(piece)] = piece
            done += len(piece)

    def skip(self, count: int) -> int:
        """Pass over ``count`` bytes; return how many there were."""
        end = self.position + count
        while self.position < end and self.read(min(_PIECE, end - self.position)):
            pass
        return count - (end - self.position)


class PackedFile:
    """A compressed file. Streams are kept, so that going forward does not begin again. Picklable.

    Args:
        file: The file.
        method: How it is compressed.
    """

    def __init__(self, file: DataFile, method: Method) -> None:
        self.file = file
        self.method = method
        self._lock = Lock()
        self._streams: list[Stream] = []

    def at(self, position: int) -> Stream:
        """Return a stream that is at ``position`` of the decompressed bytes; give it back after use.

        Raises:
            LoadError: If the bytes before are damaged or too few.
        """
        with self._lock:
            before = [stream for stream in self._streams if stream.position <= position]
            best = max(before, key=lambda stream: stream.position, default=None)
            if best is not None:
                self._streams.remove(best)
        stream = best or Stream(self.file, self.method)
        missing = position - stream.position - stream.skip(position - stream.position)
        if missing:
            raise LoadError(self.file.name, "the decompressed data end too early", self.file.size)
        return stream

    def give_back(self, stream: Stream) -> None:
        """Keep a stream for whoever goes on from there."""
        with self._lock:
            self._streams = [*self._streams, stream][-_POOL:]

    def __reduce__(self) -> tuple[type[PackedFile], tuple[DataFile, Method]]:
        return PackedFile, (self.file, self.method)


@dataclass(frozen=True)
class PackedSource:
    """The decompressed bytes, for reading a pickle.

    Args:
        packed: The compressed file.
        size: How many they are.
    """

    packed: PackedFile
    size: int

    def read(self, position: int, count: int) -> bytes:
        """Decompress what is at ``position``."""
        buffer = bytearray(count)
        stream = self.packed.at(position)
        stream.read_into(memoryview(buffer))
        self.packed.give_back(stream)
        return bytes(buffer)

    def error(self, reason: str, position: int) -> LoadError:
        """Name the file; a place in decompressed data is no place in it."""
        return LoadError(self.packed.file.name, f"{reason} (byte {position:,} of the decompressed data)", 0)

    def offset(self, position: int) -> int:  # noqa: ARG002 - the contract of a source
        """Return where the compressed data begin."""
        return self.packed.method.skip


@dataclass(frozen=True)
class PackedPayload(Payload):
    """A stretch of the decompressed bytes.

    Args:
        packed: The compressed file.
        start: Position of the first byte.
        length: Number of bytes.
    """

    packed: PackedFile
    start: int
    length: int

    @property
    def file(self) -> DataFile:  # type: ignore[override]
        """The compressed file."""
        return self.packed.file

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.length

    @property
    def offset(self) -> int:
        """Position in the decompressed bytes, by which two stretches are told apart."""
        return self.start

    @property
    def compressed(self) -> bool:
        """Always."""
        return True

    def reader(self) -> Reader:
        """Read forward."""
        return _PackedReader(self)

    def rereader(self) -> Reader:
        """Read forward, and from the start for each step back."""
        return _PackedReader(self)

    def error(self, reason: str, position: int) -> LoadError:  # noqa: ARG002 - no place of the file
        """Name the file."""
        return LoadError(self.file.name, reason, self.packed.method.skip)


class _PackedReader(Reader):
    def __init__(self, payload: PackedPayload) -> None:
        self._payload = payload

    def read_into(self, position: int, buffer: memoryview) -> None:
        packed = self._payload.packed
        stream = packed.at(self._payload.start + position)
        stream.read_into(buffer)
        packed.give_back(stream)

    def finish(self) -> None:
        """The stream was read to its end when the file was opened."""
