"""Takes numbers and strings one after the other from a file, through a window of bounded size."""

from __future__ import annotations

import array
import struct
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

FIRST_WINDOW = 1 << 16
WINDOW = 1 << 20
MAX_STRING = 1 << 26
"""Bytes of the longest string that is read; chat templates have some ten thousand."""
MAX_HEADER = 1 << 27
"""Bytes of a header; those of the largest vocabularies have some 20 million."""
_CHUNK = 1 << 14
_SHOWN = 100

Text = str | bytes
"""A string of the file; ``bytes`` where it is not UTF-8, as some vocabularies have it."""


class Cursor:
    """A place in a file.

    Args:
        file: The file.
        big_endian: Whether its numbers begin with the high byte.
        wide: Whether lengths have 8 bytes, as from version 2 on, or 4.
        position: Byte at which to begin.
    """

    def __init__(self, file: DataFile, position: int, *, big_endian: bool = False, wide: bool = True) -> None:
        self.file = file
        self.big_endian = big_endian
        self._order = ">" if big_endian else "<"
        self._length = struct.Struct(self._order + ("Q" if wide else "I"))
        self._base = position
        self._place = 0
        self._window = b""
        self._next_window = FIRST_WINDOW

    @property
    def position(self) -> int:
        """Byte of the file that comes next."""
        return self._base + self._place

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return self.file.size - self.position

    @property
    def length_bytes(self) -> int:
        """Bytes of a length."""
        return self._length.size

    def error(self, reason: str, position: int | None = None) -> LoadError:
        """Return the error for what stands at ``position`` (default: here)."""
        return LoadError(self.file.name, reason, self.position if position is None else position)

    def number(self, code: str) -> Any:
        """Take a number of the kind that ``struct`` calls ``code``."""
        layout = self._layouts[code]
        self._need(layout.size)
        (value,) = layout.unpack_from(self._window, self._place)
        self._place += layout.size
        return value

    def length(self) -> int:
        """Take a length or count."""
        self._need(self._length.size)
        (value,) = self._length.unpack_from(self._window, self._place)
        self._place += self._length.size
        return int(value)

    def text(self) -> Text:
        """Take a string."""
        return self.texts(1)[0]

    def texts(self, count: int) -> list[Text]:
        """Take ``count`` strings."""
        found: list[Text] = []
        while len(found) < count:
            found += _decoded(self._raw_texts(min(count - len(found), _CHUNK)))
        return found

    def _raw_texts(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        append, unpack, prefix = found.append, self._length.unpack_from, self._length.size
        window, place, limit = self._window, self._place, len(self._window)
        for _ in range(count):
            try:
                end = place + prefix + unpack(window, place)[0]
            except struct.error:
                end = limit + 1
            if end > limit:
                self._place = place
                self._need_text()
                window, place, limit = self._window, self._place, len(self._window)
                end = place + prefix + unpack(window, place)[0]
            append(window[place + prefix : end])
            place = end
        self._place = place
        return found

    def array(self, code: str, count: int) -> list[Any]:
        """Take ``count`` numbers of one kind."""
        layout = self._layouts[code]
        self._need(count * layout.size)
        items = array.array(code)
        items.frombytes(self._window[self._place : self._place + count * layout.size])
        if self.big_endian != (sys.byteorder == "big"):
            items.byteswap()
        self._place += count * layout.size
        return items.tolist()

    @cached_property
    def _layouts(self) -> dict[str, struct.Struct]:
        return {code: struct.Struct(self._order + code) for code in "bBhHiIqQfd"}

    def _need_text(self) -> None:
        """Make sure that the next string is in the window."""
        self._need(self._length.size)
        (n_bytes,) = self._length.unpack_from(self._window, self._place)
        if MAX_STRING < n_bytes <= self.remaining:
            raise self.error(f"a string of {n_bytes:,} bytes; at most {MAX_STRING:,} are read")
        self._need(self._length.size + n_bytes)

    def _need(self, count: int) -> None:
        """Make sure that the next ``count`` bytes are in the window."""
        if self._place + count <= len(self._window):
            return
        if count > self.remaining:
            missing = count - self.remaining
            told = f"{missing:,}" if missing < 1 << 64 else "more than 2^64"
            raise self.error(f"the file ends {told} bytes too early for what stands here")
        if self.position + count > MAX_HEADER:
            raise self.error(f"a header of more than {MAX_HEADER:,} bytes")
        rest = self._window[self._place :]
        size = min(max(count, self._next_window), self.remaining)
        self._window = rest + self.file.read(self.position + len(rest), size - len(rest))
        self._base += self._place
        self._place = 0
        self._next_window = WINDOW


def _decoded(raws: list[bytes]) -> list[Text]:
    """Return strings from their bytes; all at once where that works, which takes half the time."""
    try:
        found: list[Text] = [*b"\0".join(raws).decode().split("\0")]
    except UnicodeDecodeError:
        found = []
    return found if len(found) == len(raws) else [_text(raw) for raw in raws]


def _text(raw: bytes) -> Text:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def shown(name: Text) -> str:
    """Return ``name`` as messages show it: quoted, control characters escaped, not endless."""
    return repr(name) if len(name) <= _SHOWN else f"{name[:_SHOWN]!r}…"
