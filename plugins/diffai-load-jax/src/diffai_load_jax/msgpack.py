"""Walks a msgpack document without reading what is in its byte strings."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

MAX_TEXT_BYTES = 16 << 20
"""Longest text that is read."""
MAX_DEPTH = 100
MAX_ITEMS = 2_000_000
"""Most values of a document."""

_WINDOW_BYTES = 4096
_SHORT_TEXT, _SHORT_ARRAY, _SHORT_MAP = 0xA0, 0x90, 0x80
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
_TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_ARRAYS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}


class Bytes(NamedTuple):
    """A byte string: where it is, and how long."""

    start: int
    size: int


class Extension(NamedTuple):
    """A value of a type that the format leaves to its users: number of the type, where its bytes are."""

    kind: int
    start: int
    size: int


class Map(NamedTuple):
    """A map: its pairs are in ``items``."""

    items: dict[str, Any]


class Walker:
    """A place in a document, from which values are taken in the order in which they stand.

    Args:
        file: The file.
        start: Offset of the first byte.
        stop: Offset behind the last byte.
        n_items: Values taken before, by walkers of the same document.
    """

    def __init__(self, file: DataFile, start: int, stop: int, n_items: int = 0) -> None:
        self.position = start
        self.n_items = n_items
        self._file = file
        self._stop = stop
        self._window = b""
        self._window_start = start

    def error(self, reason: str, at: int | None = None) -> LoadError:
        """Return the error that places ``reason`` at ``at`` (default: here)."""
        return LoadError(self._file.name, reason, self.position if at is None else at)

    def value(self, depth: int = 0) -> Any:
        """Take the value here: plain, :class:`Bytes`, :class:`Extension`, a list of values, or a :class:`Map`.

        Raises:
            LoadError: If it is damaged, nested too deeply, or there are too many.
        """
        at = self.position
        self.n_items += 1
        if depth > MAX_DEPTH or self.n_items > MAX_ITEMS:
            raise self.error(f"values nested deeper than {MAX_DEPTH} levels, or more than {MAX_ITEMS:,}", at)
        code = self._take(1)[0]
        if code < 0x80 or code >= 0xE0:  # noqa: PLR2004 - small numbers stand in the code itself
            return code if code < 0x80 else code - 0x100  # noqa: PLR2004 - as above
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            form = struct.Struct(_NUMBERS[code])
            return form.unpack(self._take(form.size))[0]
        return self._long(code, at, depth)

    def _long(self, code: int, at: int, depth: int) -> Any:
        """Take a value that has a length."""
        if code & 0xE0 == _SHORT_TEXT or code in _TEXTS:
            return self._text(code & 0x1F if code not in _TEXTS else self._uint(_TEXTS[code]), at)
        if code in _BYTES:
            return Bytes(*self._skip(self._uint(_BYTES[code]), at))
        if code in _EXTENSIONS or code in _FIXED_EXTENSIONS:
            size = _FIXED_EXTENSIONS.get(code) or self._uint(_EXTENSIONS[code])
            kind = struct.unpack("b", self._take(1))[0]
            return Extension(kind, *self._skip(size, at))
        if code & 0xF0 == _SHORT_ARRAY or code in _ARRAYS:
            count = code & 0x0F if code not in _ARRAYS else self._uint(_ARRAYS[code])
            return [self.value(depth + 1) for _ in range(self._counted(count, at))]
        if code & 0xF0 == _SHORT_MAP or code in _MAPS:
            return self._map(code & 0x0F if code not in _MAPS else self._uint(_MAPS[code]), at, depth)
        raise self.error(f"no value begins with the byte 0x{code:02x}", at)

    def _map(self, count: int, at: int, depth: int) -> Map:
        items: dict[str, Any] = {}
        for _ in range(self._counted(count, at)):
            place = self.position
            key = self.value(depth + 1)
            if isinstance(key, int) and not isinstance(key, bool):
                key = str(key)
            if not isinstance(key, str):
                raise self.error("a key that is neither a text nor a number", place)
            if key in items:
                raise self.error(f"the key {key[:100]!r} stands twice in one map", place)
            items[key] = self.value(depth + 1)
        return Map(items)

    def _counted(self, count: int, at: int) -> int:
        if count > self._stop - self.position:  # each takes a byte at least
            raise self.error(f"{count:,} values in {self._stop - self.position:,} bytes", at)
        return count

    def _text(self, size: int, at: int) -> str:
        if size > MAX_TEXT_BYTES:
            raise self.error(f"a text of {size:,} bytes; at most {MAX_TEXT_BYTES:,} are read", at)
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise self.error("a text that is not UTF-8", at) from error

    def _skip(self, size: int, at: int) -> tuple[int, int]:
        start = self.position
        if start + size > self._stop:
            raise self.error(f"{size:,} bytes, where {self._stop - start:,} are left", at)
        self.position = start + size
        return start, size

    def _uint(self, n_bytes: int) -> int:
        return int.from_bytes(self._take(n_bytes), "big")

    def _take(self, count: int) -> bytes:
        start = self.position - self._window_start
        if start < 0 or start + count > len(self._window):
            if self.position + count > self._stop:
                raise self.error("the document ends in the middle of a value", self._stop)
            self._window_start = self.position
            self._window = self._file.read(self.position, min(max(count, _WINDOW_BYTES), self._stop - self.position))
            start = 0
        self.position += count
        return self._window[start : start + count]
