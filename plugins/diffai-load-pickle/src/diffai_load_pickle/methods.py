"""The ways in which a pickle can be compressed, each as a decompressor that never gives more than asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

Z_FILE_HEADER = 21
"""Bytes before the zlib data of a ``ZF`` file of joblib before 0.10."""


class Decompressor(Protocol):
    """What zlib, bz2, lzma and lz4 have in common here."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed data was reached."""

    @property
    def unused_data(self) -> bytes | None:
        """What followed it."""

    @property
    def needs_input(self) -> bool:
        """Whether more compressed data are needed to go on."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take ``data`` and return at most ``max_length`` bytes."""


class Method(NamedTuple):
    """A way to compress.

    Args:
        name: What it is called.
        magic: First bytes of a file.
        skip: Bytes before the compressed data.
        make: Returns a decompressor; ``ImportError`` if its package is missing.
        errors: Returns the exceptions that damaged data raise.
    """

    name: str
    magic: tuple[bytes, ...]
    skip: int
    make: Callable[[], Decompressor]
    errors: Callable[[], tuple[type[Exception], ...]]


class _Zlib:
    """Gives zlib's decompressor the interface of the others."""

    def __init__(self, window_bits: int) -> None:
        import zlib

        self._zlib = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _zlib() -> Decompressor:
    return _Zlib(15)


def _gzip() -> Decompressor:
    return _Zlib(31)


def _bz2() -> Decompressor:
    import bz2

    return bz2.BZ2Decompressor()


def _lzma() -> Decompressor:
    import lzma

    return lzma.LZMADecompressor(memlimit=_MAX_DICTIONARY)


def _lz4() -> Decompressor:
    import lz4.frame

    found: Decompressor = lz4.frame.LZ4FrameDecompressor()
    return found


def _zlib_errors() -> tuple[type[Exception], ...]:
    import zlib

    return (zlib.error,)


def _bz2_errors() -> tuple[type[Exception], ...]:
    return (OSError, ValueError)


def _lzma_errors() -> tuple[type[Exception], ...]:
    import lzma

    return (lzma.LZMAError,)


def _lz4_errors() -> tuple[type[Exception], ...]:
    return (RuntimeError,)


_MAX_DICTIONARY = 128 << 20  # what the highest preset needs is half of it

METHODS = (
    Method("gzip", (b"\x1f\x8b\x08",), 0, _gzip, _zlib_errors),
    Method("bzip2", (b"BZh",), 0, _bz2, _bz2_errors),
    Method("xz", (b"\xfd7zXZ\0",), 0, _lzma, _lzma_errors),
    Method("lzma", (b"\x5d\0\0",), 0, _lzma, _lzma_errors),
    Method("lz4", (b"\x04\x22\x4d\x18",), 0, _lz4, _lz4_errors),
    Method("zlib", (b"ZF0x",), Z_FILE_HEADER, _zlib, _zlib_errors),
    Method("zlib", (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), 0, _zlib, _zlib_errors),
)


def method_of(head: bytes) -> Method | None:
    """Return how a file that begins with ``head`` is compressed, or ``None`` if it is not."""
    found = next((method for method in METHODS if head.startswith(method.magic)), None)
    if found is not None and found.skip and head[found.skip : found.skip + 1] == b" ":
        return found._replace(skip=found.skip + 1)  # joblib up to 0.8.4 in Python 2 wrote one character more
    return found
