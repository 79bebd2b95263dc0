"""Fractal heaps, which hold the links and attributes of newer files where there are many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_lib_hdf5.btrees import enough_bytes, records_v2
from diffai_lib_hdf5.checksum import check
from diffai_lib_hdf5.region import Cursor

if TYPE_CHECKING:
    from diffai_lib_hdf5.region import Store

MAX_DEPTH = 64

_HEADER_BYTES = 256
_CHECKED_BLOCKS = 2
_MANAGED, _HUGE, _TINY = 0, 1, 2
_SHORT_TINY = 18
_HUGE_RECORD = 1


@dataclass(frozen=True)
class _Table:
    """The doubling table: how the space of the heap is divided into blocks."""

    width: int
    first: int
    largest: int
    offset_bytes: int
    checked: bool

    def row_bytes(self, row: int) -> int:
        """Return the size of one block of a row."""
        return self.first << max(row - 1, 0)

    @property
    def n_direct_rows(self) -> int:
        """Rows whose blocks hold data themselves."""
        return (self.largest // self.first).bit_length() + 1

    def place(self, offset: int) -> tuple[int, int, int]:
        """Return row, column and offset inside the block that byte ``offset`` of an indirect block's space is in."""
        line = self.first * self.width
        row = 0 if offset < line else (offset // line).bit_length()
        start = 0 if row == 0 else line << (row - 1)
        column, inside = divmod(offset - start, self.row_bytes(row))
        return row, column, inside


class FractalHeap:
    """A fractal heap.

    Args:
        store: The file.
        address: Address of its header.

    Raises:
        LoadError: If the header is damaged.
    """

    def __init__(self, store: Store, address: int) -> None:
        self._store = store
        self._address = address
        cursor = store.upto("a fractal heap", address, _HEADER_BYTES)
        cursor.expect(b"FRHP")
        cursor.version(0)
        self._id_bytes, filter_bytes, flags, largest_object = cursor.u16(), cursor.u16(), cursor.u8(), cursor.u32()
        cursor.length()
        self._huge_tree = cursor.pointer()
        cursor.length()
        cursor.pointer()
        for _ in range(8):
            cursor.length()
        width, first, largest, bits, _ = cursor.u16(), cursor.length(), cursor.length(), cursor.u16(), cursor.u16()
        self._root, self._n_rows = cursor.pointer(), cursor.u16()
        if filter_bytes:
            raise cursor.unsupported("the links or attributes of an object are compressed, which is not read")
        check(cursor)
        powers = all(n and not n & (n - 1) for n in (width, first, largest))
        if not powers or largest < first or not 0 < bits <= 64:  # noqa: PLR2004 - the bits of an offset
            raise store.error("the sizes of a fractal heap are not possible", address)
        self._table = _Table(width, first, largest, -(-bits // 8), bool(flags & _CHECKED_BLOCKS))
        self._length_bytes = min((largest.bit_length() - 1 + 7) // 8, enough_bytes(largest_object))
        self._blocks: dict[int, Cursor] = {}

    def read(self, identifier: bytes, at: int) -> Cursor:
        """Return the object with this identifier.

        Args:
            identifier: As a B-tree record holds it.
            at: Address of that record, for messages.

        Raises:
            LoadError: If there is no such object.
        """
        cursor = Cursor(self._store, identifier, at, "an object of a fractal heap")
        first = cursor.u8()
        kind = first >> 4 & 3
        if first >> 6:
            raise self._store.error("the identifier of a heap object has a version that is not known", at)
        if kind == _MANAGED:
            offset = cursor.uint(self._table.offset_bytes)
            return self._managed(offset, cursor.uint(self._length_bytes), at)
        if kind == _TINY:
            long = self._id_bytes - 1 > _SHORT_TINY - 2
            count = ((first & 15) << 8 | cursor.u8() if long else first & 15) + 1
            return cursor.part(count, cursor.what)
        if kind == _HUGE:
            return self._huge(cursor, at)
        raise self._store.error("the identifier of a heap object is of a kind that is not known", at)

    def _huge(self, cursor: Cursor, at: int) -> Cursor:
        store = self._store
        if cursor.left >= store.address_bytes + store.length_bytes:
            return store.cursor(cursor.what, cursor.target(), cursor.length())
        wanted = cursor.uint(min(cursor.left, store.length_bytes))
        if self._huge_tree is not None:
            for record in records_v2(store, self._huge_tree, (_HUGE_RECORD,)):
                place, size = record.target(), record.length()
                if record.length() == wanted:
                    return store.cursor(cursor.what, place, size)
        raise store.error("a large object of a fractal heap is not there", at)

    def _managed(self, offset: int, size: int, at: int) -> Cursor:
        address, n_rows = self._root, self._n_rows
        table = self._table
        start = offset
        for _ in range(MAX_DEPTH):
            if address is None:
                break
            if not n_rows:
                return self._in_block(address, start, size, at)
            row, column, start = table.place(start)
            if row >= n_rows:
                break
            address = self._child(address, n_rows, row, column)
            if row < table.n_direct_rows:
                n_rows = 0
                continue
            n_rows = (table.row_bytes(row) // (table.first * table.width)).bit_length()
        raise self._store.error(f"a fractal heap has nothing at its byte {offset:,}", at)

    def _in_block(self, address: int, start: int, size: int, at: int) -> Cursor:
        """Return bytes of a direct block; its head counts as part of its space, and is no object."""
        head = 5 + self._store.address_bytes + self._table.offset_bytes + (4 if self._table.checked else 0)
        signature = self._store.cursor("a block of a fractal heap", address, head)
        signature.expect(b"FHDB")
        if start < head or start + size > self._table.largest:
            raise self._store.error("an object of a fractal heap lies outside of its block", at)
        return self._store.cursor("an object of a fractal heap", address + start, size)

    def _child(self, address: int, n_rows: int, row: int, column: int) -> int | None:
        block = self._blocks.get(address)
        if block is None:
            n_entries = n_rows * self._table.width
            head = 5 + self._store.address_bytes + self._table.offset_bytes
            size = head + n_entries * self._store.address_bytes
            block = self._store.cursor("an indirect block of a fractal heap", address, size + 4)
            block.expect(b"FHIB")
            check(block, size)
            block.position = head
            self._blocks[address] = block
        inside = Cursor(block.store, block.data, block.origin, block.what)
        head = 5 + self._store.address_bytes + self._table.offset_bytes
        inside.skip(head + (row * self._table.width + column) * self._store.address_bytes)
        return inside.pointer()
