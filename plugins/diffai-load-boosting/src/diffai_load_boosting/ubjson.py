"""Reads UBJSON, the binary JSON of XGBoost: strict, bounded, arrays of numbers left in the file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

MAX_DEPTH = 100
"""Deepest nesting that is followed."""
MAX_TEXT = 1 << 24
"""Longest text that is read, in bytes."""
MAX_VALUES = 8_000_000
"""Most values outside of typed arrays in one file."""
_CONTAINER_COST = 8
"""So many values an object or an array counts for, as it takes as much memory."""

_WINDOW = 64 << 10
_NUMBERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_LENGTHS = frozenset({b"i", b"U", b"I", b"l", b"L"})
_DTYPES = {
    b"i": "int8",
    b"U": "uint8",
    b"I": "int16",
    b"l": "int32",
    b"L": "int64",
    b"d": "float32",
    b"D": "float64",
}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}
_FORMATS = {mark: struct.Struct(code) for mark, code in _NUMBERS.items()}
_MAX_DIGITS = 4300


class TypedArray(NamedTuple):
    """Numbers of one type that lie big-endian in the file.

    Args:
        dtype: Name of their type.
        length: How many there are.
        offset: Where the first begins.
    """

    dtype: str
    length: int
    offset: int


def read_ubjson(file: DataFile) -> Any:
    """Return the document in a file; arrays with a type as :class:`TypedArray`.

    Raises:
        LoadError: If it is not UBJSON, or larger or deeper than is read.
    """
    reader = _Reader(file)
    document = reader.value(reader.mark(), 0)
    if reader.place < file.size:
        raise LoadError(file.name, f"{file.size - reader.place:,} bytes follow the document", reader.place)
    return document


class _Reader:
    """A place in the file, and a window on what follows it."""

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self._begin = 0
        self._window = b""
        self._n_values = 0
        self.place = 0

    def mark(self) -> bytes:
        """Return the next byte that is not the filler ``N``."""
        found = self._take(1)
        while found == b"N":
            found = self._take(1)
        return found

    def value(self, mark: bytes, depth: int) -> Any:
        """Return the value that begins with ``mark``."""
        self._count(1)
        if mark in _FORMATS:
            return self._number(mark)
        if mark in {b"S", b"C", b"H"}:
            return self._text_value(mark)
        if mark in _CONSTANTS:
            return _CONSTANTS[mark]
        if depth >= MAX_DEPTH:
            raise self._error(f"is nested more than {MAX_DEPTH} deep")
        if mark == b"{":
            return self._object(depth + 1)
        if mark == b"[":
            return self._array(depth + 1)
        raise self._error(f"not UBJSON: no value begins with {mark!r}", back=1)

    def _count(self, n_values: int) -> None:
        self._n_values += n_values
        if self._n_values > MAX_VALUES:
            raise self._error(f"more than {MAX_VALUES:,} values are not read")

    def _number(self, mark: bytes) -> Any:
        form = _FORMATS[mark]
        (value,) = form.unpack(self._take(form.size))
        return value

    def _text_value(self, mark: bytes) -> Any:
        if mark == b"C":
            return self._decoded(self._take(1))
        text = self._text()
        return text if mark == b"S" else self._long_number(text)

    def _long_number(self, text: str) -> Any:
        if len(text) > _MAX_DIGITS:
            raise self._error(f"a number of {len(text):,} digits is too long to be read", back=len(text))
        try:
            return int(text) if text.lstrip("-").isdigit() else float(text)
        except ValueError as error:
            raise self._error("not UBJSON: a number that is none", back=len(text)) from error

    def _text(self) -> str:
        length = self._length(self._take(1))
        if length > MAX_TEXT:
            raise self._error(f"a text of {length:,} bytes is longer than the {MAX_TEXT:,} that are read")
        return self._decoded(self._take(length))

    def _decoded(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self._error("a text is not UTF-8", back=len(data)) from error

    def _length(self, mark: bytes) -> int:
        if mark not in _LENGTHS:
            raise self._error(f"not UBJSON: no length begins with {mark!r}", back=1)
        length: int = self._number(mark)
        if not 0 <= length <= self._file.size - self.place:
            raise self._error(f"a length of {length:,} does not fit into the file", back=_FORMATS[mark].size)
        return length

    def _head(self) -> tuple[bytes, int | None, bytes]:
        """Return type and count of a container, where it tells them, and else the mark of what follows."""
        mark, kind = self.mark(), b""
        if mark == b"$":
            kind, mark = self._take(1), self._take(1)
            if mark != b"#":
                raise self._error("not UBJSON: a container with a type has no count", back=1)
        if mark != b"#":
            return b"", None, mark
        return kind, self._length(self._take(1)), b""

    def _array(self, depth: int) -> Any:
        kind, count, mark = self._head()
        if kind in _FORMATS:
            return self._typed_array(kind, count or 0)
        self._count(_CONTAINER_COST)
        found = []
        if count is None:
            while mark != b"]":
                found.append(self.value(mark, depth))
                mark = self.mark()
            return found
        found.extend(self.value(self._sized(kind), depth) for _ in range(count))
        return found

    def _typed_array(self, kind: bytes, count: int) -> TypedArray:
        start = self.place
        n_bytes = count * _FORMATS[kind].size
        if n_bytes > self._file.size - start:
            reason = f"the file ends here, {n_bytes - (self._file.size - start):,} bytes too early for an array"
            raise LoadError(self._file.name, reason, self._file.size)
        self.place += n_bytes
        return TypedArray(_DTYPES[kind], count, start)

    def _sized(self, kind: bytes) -> bytes:
        """Return the mark of an element; one that takes no bytes would let a count ask for all memory."""
        if kind in _CONSTANTS or kind == b"N":
            raise self._error("a container whose elements take no bytes is not read")
        return kind or self.mark()

    def _object(self, depth: int) -> dict[str, Any]:
        self._count(_CONTAINER_COST)
        kind, count, mark = self._head()
        found: dict[str, Any] = {}
        n_left = count
        while (mark != b"}") if n_left is None else n_left > 0:
            key = self._key(mark if n_left is None else self.mark())
            if key in found:
                raise self._error(f"the key {key[:60]!r} stands twice in one object", back=len(key))
            found[key] = self.value(self._sized(kind), depth)
            if n_left is None:
                mark = self.mark()
            else:
                n_left -= 1
        return found

    def _key(self, mark: bytes) -> str:
        length = self._length(mark)
        if length > MAX_TEXT:
            raise self._error(f"a key of {length:,} bytes is longer than the {MAX_TEXT:,} that are read")
        return self._decoded(self._take(length))

    def _take(self, count: int) -> bytes:
        start = self.place - self._begin
        if not 0 <= start <= start + count <= len(self._window):
            if count > self._file.size - self.place:
                raise LoadError(self._file.name, "the file ends here, too early", self._file.size)
            n_bytes = min(max(count, _WINDOW), self._file.size - self.place)
            self._begin, self._window, start = self.place, self._file.read(self.place, n_bytes), 0
        self.place += count
        return self._window[start : start + count]

    def _error(self, reason: str, back: int = 0) -> LoadError:
        return LoadError(self._file.name, reason, self.place - back)
