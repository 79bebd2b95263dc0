"""Walks a FlatBuffer without trust: every offset, table, vector and length is checked before it is used.

Offsets to tables and vectors are unsigned and point forward, so that there are no cycles; how many tables and bytes
are visited is bounded, because a hostile file may point to the same table from a million places.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import DataFile

MAX_TABLES = 1_000_000
"""Tables that are read of one file; a tensor takes up to five, an operator two. Small files may have fewer."""
_PAGE = 1 << 12
_MAX_PAGES = 4096
_SLACK = 1 << 20
_MIN_VTABLE = 4

U8, I8, BOOL = struct.Struct("<B"), struct.Struct("<b"), struct.Struct("<?")
U16 = struct.Struct("<H")
I32, U32, F32 = struct.Struct("<i"), struct.Struct("<I"), struct.Struct("<f")
I64, U64 = struct.Struct("<q"), struct.Struct("<Q")


class Vector(NamedTuple):
    """A run of items: offset of the first one, and how many there are."""

    start: int
    length: int


class FlatBuffer:
    """A file that holds a FlatBuffer; reads the pages that are asked for.

    Args:
        file: The file.
    """

    def __init__(self, file: DataFile) -> None:
        self.file = file
        self._pages: dict[int, bytes] = {}
        self._layouts: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._tables_left = min(MAX_TABLES, file.size // 2)  # each takes 8 bytes, and is looked at up to three times
        self._bytes_left = 4 * file.size + _SLACK

    def root(self) -> Table:
        """Return the table that everything hangs from.

        Raises:
            LoadError: If it lies outside of the file.
        """
        return Table(self, self.follow(0))

    def error(self, reason: str, offset: int) -> LoadError:
        """Return the error for what stands at ``offset``."""
        return LoadError(self.file.name, reason, offset)

    def number(self, form: struct.Struct, at: int) -> int | float:
        """Return the number at ``at``.

        Raises:
            LoadError: If the file ends before.
        """
        place = at % _PAGE
        page = self._pages.get(at - place)
        if page is None or place + form.size > len(page):
            self.check_room(at, form.size)
            page, place = self._page(at - place, at, form.size)
        return form.unpack_from(page, place)[0]  # type: ignore[no-any-return]

    def count(self, at: int) -> int:
        """Return the 32-bit count or offset at ``at``.

        Raises:
            LoadError: If the file ends before.
        """
        return self.number(U32, at)  # type: ignore[return-value]

    def follow(self, at: int) -> int:
        """Return the place to which the offset at ``at`` points.

        Raises:
            LoadError: If it points to itself or out of the file.
        """
        step = self.count(at)
        target = at + step
        if step < U32.size or target > self.file.size - U32.size:
            raise self.error(f"an offset of {step:,} points to nothing in the file", at)
        return target

    def check_room(self, at: int, length: int) -> None:
        """Make sure that ``length`` bytes lie at ``at``.

        Raises:
            LoadError: If the file ends before.
        """
        if at < 0 or length > self.file.size - at:
            missing = length if at < 0 else at + length - self.file.size
            raise self.error(f"the file ends here, {missing:,} bytes too early", min(max(at, 0), self.file.size))

    def take(self, at: int, length: int) -> bytes:
        """Return ``length`` bytes at ``at``; they count towards what may be read of one file.

        Raises:
            LoadError: If the file ends before, or the same bytes are asked for again and again.
        """
        self.check_room(at, length)
        self._bytes_left -= length
        if self._bytes_left < 0:
            raise self.error("parts of the file are referred to again and again", at)
        return self.file.read(at, length)

    def layout(self, table: int) -> tuple[int, tuple[int, ...]]:
        """Return the size of the table at ``table``, and where in it each field lies (0 if it is not there).

        Raises:
            LoadError: If the description of the table is damaged.
        """
        self._tables_left -= 1
        if self._tables_left < 0:
            raise self.error("the file has too many tables, or refers to the same ones again and again", table)
        at = table - int(self.number(I32, table))
        found = self._layouts.get(at)
        if found is None:
            found = self._layouts[at] = self._read_layout(at)
        self.check_room(table, found[0])
        return found

    def _read_layout(self, at: int) -> tuple[int, tuple[int, ...]]:
        if at < 0:
            raise self.error("the description of a table lies before the file", 0)
        length = int(self.number(U16, at))
        if length < _MIN_VTABLE or length % 2:
            raise self.error(f"the description of a table has the length {length}", at)
        size, *fields = struct.unpack(f"<{length // 2 - 1}H", self.take(at + 2, length - 2))
        if size < I32.size or any(field and not I32.size <= field < size for field in fields):
            raise self.error("the description of a table has fields outside of the table", at)
        return size, tuple(fields)

    def _page(self, start: int, at: int, length: int) -> tuple[bytes, int]:
        """Return bytes of the file that hold those asked for, and where in them they lie."""
        if start in self._pages or at - start + length > _PAGE:  # across the edge of a page
            return self.file.read(at, length), 0
        if len(self._pages) >= _MAX_PAGES:
            self._pages.clear()
        page = self._pages[start] = self.file.read(start, min(_PAGE, self.file.size - start))
        return page, at - start


class Table:
    """A record with numbered fields, each of which may be left out.

    Args:
        buffer: What it lies in.
        at: Where.
    """

    __slots__ = ("_fields", "_size", "at", "buffer")

    def __init__(self, buffer: FlatBuffer, at: int) -> None:
        self.buffer = buffer
        self.at = at
        self._size, self._fields = buffer.layout(at)

    def place(self, slot: int, length: int) -> int:
        """Return where the field lies, 0 if it was left out.

        Raises:
            LoadError: If its ``length`` bytes reach out of the table.
        """
        field = self._fields[slot] if slot < len(self._fields) else 0
        if field + length > self._size and field:
            raise self.buffer.error(f"field {slot} reaches out of its table", self.at)
        return self.at + field if field else 0

    @property
    def slots(self) -> tuple[int, ...]:
        """Numbers of the fields that are there."""
        return tuple(slot for slot, field in enumerate(self._fields) if field)

    def room(self, slot: int) -> int:
        """Return the width of the widest number that a field can be: 8, 4, 2 or 1 bytes."""
        field = self._fields[slot]
        room = min((other for other in self._fields if other > field), default=self._size) - field
        return next(width for width in (8, 4, 2, 1) if width <= room)

    def number(self, slot: int, form: struct.Struct, default: float = 0) -> int | float:
        """Return a number, or ``default`` if it was left out."""
        at = self.place(slot, form.size)
        return self.buffer.number(form, at) if at else default

    def whole(self, slot: int, form: struct.Struct = I32, default: int = 0) -> int:
        """Return a whole number, or ``default`` if it was left out."""
        return int(self.number(slot, form, default))

    def table(self, slot: int) -> Table | None:
        """Return the table that a field points to."""
        at = self.place(slot, U32.size)
        return Table(self.buffer, self.buffer.follow(at)) if at else None

    def vector(self, slot: int, item_bytes: int) -> Vector | None:
        """Return where the items of a vector lie; ``None`` if it was left out.

        Raises:
            LoadError: If they reach out of the file.
        """
        at = self.place(slot, U32.size)
        if not at:
            return None
        start = self.buffer.follow(at)
        count = self.buffer.count(start)
        if count * item_bytes > self.buffer.file.size - start - U32.size:
            raise self.buffer.error(f"a vector of {count:,} items of {item_bytes} bytes does not fit the file", start)
        return Vector(start + U32.size, count)

    def raw(self, slot: int) -> bytes:
        """Return the bytes of a vector of bytes or of a string; none if it was left out."""
        vector = self.vector(slot, 1)
        return self.buffer.take(*vector) if vector else b""

    def text(self, slot: int) -> str:
        """Return a string; bytes that are not UTF-8 are shown as escapes."""
        return self.raw(slot).decode("utf-8", "backslashreplace")

    def numbers(self, slot: int, code: str) -> tuple[int | float, ...]:
        """Return a vector of numbers; empty if it was left out.

        Args:
            slot: Number of the field.
            code: Format of one item as in ``struct``.
        """
        width = struct.calcsize(f"<{code}")
        vector = self.vector(slot, width)
        if not vector:
            return ()
        return struct.unpack(f"<{vector.length}{code}", self.buffer.take(vector.start, vector.length * width))

    def wholes(self, slot: int) -> tuple[int, ...]:
        """Return a vector of 32-bit integers; empty if it was left out."""
        return tuple(map(int, self.numbers(slot, "i")))

    def tables(self, slot: int) -> Iterator[Table]:
        """Yield the tables of a vector."""
        vector = self.vector(slot, U32.size)
        for number in range(vector.length if vector else 0):
            assert vector is not None
            yield Table(self.buffer, self.buffer.follow(vector.start + number * U32.size))
