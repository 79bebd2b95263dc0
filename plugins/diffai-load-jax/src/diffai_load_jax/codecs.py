"""Decompressing values piece by piece: zstd, gzip, zlib, bz2, or nothing."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from diffai_load_jax.values import Stored

READABLE = frozenset({"zstd", "gzip", "zlib", "bz2"})
MAX_WINDOW = 1 << 25
"""Largest window of zstd; its levels up to 19 take a quarter of it."""
PIECE_BYTES = 1 << 18


class Reader(Protocol):
    """Reads a value forward."""

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes.

        Raises:
            LoadError: If they are damaged or not there.
        """

    def finish(self) -> None:
        """Make sure that nothing is left.

        Raises:
            LoadError: If something is.
        """


def reader_of(value: Stored, codec: str) -> Reader:
    """Return a reader of what a value holds.

    Args:
        value: The value.
        codec: One of ``READABLE``, or empty.
    """
    return _Compressed(value, codec) if codec else _Plain(value)


class _Plain:
    def __init__(self, value: Stored) -> None:
        self._value = value
        self._at = 0

    def read(self, count: int) -> bytes:
        found = self._value.read(self._at, count)
        self._at += count
        return found

    def finish(self) -> None:
        if self._at < self._value.size:
            raise self._value.error(f"{self._value.size - self._at:,} bytes follow the elements of a chunk")


class _Packed:
    """What a decompressor reads from; knows nothing of who uses it, as zstandard would never let go of a circle."""

    def __init__(self, value: Stored) -> None:
        self._value = value
        self._taken = 0

    def read(self, count: int) -> bytes:
        """Return the next bytes, at most ``count``."""
        count = min(count, PIECE_BYTES, self._value.size - self._taken)
        self._taken += count
        return self._value.read(self._taken - count, count)


class _Compressed:
    def __init__(self, value: Stored, codec: str) -> None:
        self._value = value
        self._stream = _decompressor(codec, value, _Packed(value))

    def some(self, limit: int) -> bytes:
        """Return at most ``limit`` bytes, none at the end."""
        found: bytes = self._stream(limit)
        return found

    def read(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            data = self._stream(min(count - len(found), PIECE_BYTES))
            if not data:
                raise self._value.error(f"a compressed chunk ends {count - len(found):,} bytes too early")
            found += data
        return bytes(found)

    def finish(self) -> None:
        if self._stream(1):
            raise self._value.error("a compressed chunk goes on after its elements")


def _decompressor(codec: str, value: Stored, packed: _Packed) -> Any:
    """Return a function that gives at most so many bytes, none at the end."""
    if codec == "zstd":
        return _zstd(value, packed)
    import bz2

    streams = {"gzip": lambda: zlib.decompressobj(31), "zlib": zlib.decompressobj, "bz2": bz2.BZ2Decompressor}
    stream: Any = streams[codec]()
    pending = b""

    def take(limit: int) -> bytes:
        nonlocal pending
        while not stream.eof:
            given = pending
            if not given and getattr(stream, "needs_input", True):
                given = packed.read(PIECE_BYTES)
            try:
                data: bytes = stream.decompress(given, limit)
            except (zlib.error, OSError) as error:
                raise value.error(f"the compressed data of a chunk are damaged ({error})") from error
            pending = getattr(stream, "unconsumed_tail", b"")
            if data:
                return data
            if not given:
                raise value.error("the compressed data of a chunk end too early")
        return b""

    return take


def _zstd(value: Stored, packed: _Packed) -> Any:
    import zstandard

    source: Any = packed
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).stream_reader(source, read_across_frames=True)

    def take(limit: int) -> bytes:
        try:
            found: bytes = reader.read(limit)
        except zstandard.ZstdError as error:
            raise value.error(f"the compressed data of a chunk are damaged ({error})") from error
        return found

    return take


def decompressed(value: Stored, codec: str, limit: int) -> bytes:
    """Return all that a value holds.

    Raises:
        LoadError: If it is damaged, or holds more than ``limit`` bytes.
    """
    if not codec:
        return value.read(0, value.size)
    stream = _Compressed(value, codec)
    found = bytearray()
    while data := stream.some(PIECE_BYTES):
        found += data
        if len(found) > limit:
            raise value.error(f"a compressed value grows beyond {limit:,} bytes")
    return bytes(found)
