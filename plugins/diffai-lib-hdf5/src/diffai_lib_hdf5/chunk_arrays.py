"""Fixed and extensible arrays, in which newer files keep the places of chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.checksum import CHECKSUM_BYTES, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.region import Cursor, Store

MAX_ENTRIES = 1_000_000
"""Most entries of one array, used or not."""

_HEADER_BYTES = 128
_PREFIX = 6
"""Signature, version and client of every block."""
_MAX_BITS = 64


class Entry(NamedTuple):
    """An entry: address of the chunk, its stored size if the array says it, and mask of the filters left out."""

    address: int
    size: int | None
    skipped: int


def entry_in(cursor: Cursor, size_bytes: int) -> Entry | None:
    """Take an entry; ``None`` for a chunk that was never written.

    Args:
        cursor: Where it stands.
        size_bytes: Bytes of the stored size; 0 for chunks without filters.
    """
    address = cursor.pointer()
    size, skipped = (cursor.uint(size_bytes), cursor.u32()) if size_bytes else (None, 0)
    return None if address is None else Entry(address, size, skipped)


def _entry_bytes(store: Store, size_bytes: int) -> int:
    return store.address_bytes + (size_bytes + 4 if size_bytes else 0)


def _check_entry_bytes(cursor: Cursor, found: int, size_bytes: int) -> None:
    wanted = _entry_bytes(cursor.store, size_bytes)
    if found != wanted:
        raise cursor.error(f"{cursor.what} has entries of {found} bytes instead of {wanted}")


def fixed_entries(store: Store, address: int, size_bytes: int) -> Iterator[tuple[int, Entry]]:
    """Yield the entries of a fixed array with their indices.

    Args:
        store: The file.
        address: Address of the header.
        size_bytes: Bytes of the stored size of a chunk; 0 for chunks without filters.

    Raises:
        LoadError: If the array is damaged.
    """
    cursor = store.upto("a fixed array of chunks", address, _HEADER_BYTES)
    cursor.expect(b"FAHD")
    cursor.version(0)
    cursor.skip(1)
    _check_entry_bytes(cursor, cursor.u8(), size_bytes)
    page_bits, n_entries, block = cursor.u8(), cursor.length(), cursor.pointer()
    check(cursor)
    if n_entries > MAX_ENTRIES or page_bits > _MAX_BITS:
        raise store.region.unsupported(f"an array of {n_entries:,} chunks; at most {MAX_ENTRIES:,} are read", address)
    if block is not None:
        yield from _fixed_block(store, block, size_bytes, n_entries, 1 << page_bits)


def _fixed_block(store: Store, address: int, size_bytes: int, n_entries: int, page: int) -> Iterator[tuple[int, Entry]]:
    what = "a block of chunks"
    width = _entry_bytes(store, size_bytes)
    head = _PREFIX + store.address_bytes
    if n_entries <= page:
        block = _block(store, address, b"FADB", head + n_entries * width)
        block.skip(head - _PREFIX)
        yield from _entries(block, 0, n_entries, size_bytes)
        return
    n_pages = -(-n_entries // page)
    n_bitmap = -(-n_pages // 8)
    block = _block(store, address, b"FADB", head + n_bitmap)
    block.skip(head - _PREFIX)
    bitmap = block.take(n_bitmap)
    place = address + head + n_bitmap + CHECKSUM_BYTES
    for number in range(n_pages):
        first = number * page
        count = min(page, n_entries - first)
        if bitmap[number // 8] & (0x80 >> number % 8):
            cursor = store.cursor(what, place, count * width + CHECKSUM_BYTES)
            check(cursor, count * width)
            yield from _entries(cursor, first, count, size_bytes)
        place += count * width + CHECKSUM_BYTES


def _block(store: Store, address: int, signature: bytes, size: int) -> Cursor:
    """Return a block of ``size`` bytes before its checksum, behind its signature, version and client."""
    cursor = store.cursor("a block of chunks", address, size + CHECKSUM_BYTES)
    cursor.expect(signature)
    cursor.version(0)
    cursor.skip(1)
    check(cursor, size)
    return cursor


def _entries(cursor: Cursor, first: int, count: int, size_bytes: int) -> Iterator[tuple[int, Entry]]:
    for index in range(first, first + count):
        entry = entry_in(cursor, size_bytes)
        if entry is not None:
            yield index, entry


class _Extensible(NamedTuple):
    """The geometry of an extensible array."""

    size_bytes: int
    n_direct: int
    smallest_block: int
    fewest_pointers: int
    page: int
    offset_bytes: int
    n_super: int
    n_set: int

    def in_super(self, number: int) -> tuple[int, int]:
        """Return how many data blocks belong to a super block, and how many entries each has."""
        return 1 << number // 2, (1 << (number + 1) // 2) * self.smallest_block


def extensible_entries(store: Store, address: int, size_bytes: int) -> Iterator[tuple[int, Entry]]:
    """Yield the entries of an extensible array with their indices.

    Args:
        store: The file.
        address: Address of the header.
        size_bytes: Bytes of the stored size of a chunk; 0 for chunks without filters.

    Raises:
        LoadError: If the array is damaged.
    """
    cursor = store.upto("an extensible array of chunks", address, _HEADER_BYTES)
    cursor.expect(b"EAHD")
    cursor.version(0)
    cursor.skip(1)
    _check_entry_bytes(cursor, cursor.u8(), size_bytes)
    bits, n_direct, smallest, fewest, page_bits = (cursor.u8() for _ in range(5))
    for _ in range(4):
        cursor.length()
    n_set = cursor.length()
    cursor.length()
    block = cursor.pointer()
    check(cursor)
    powers = all(n and not n & (n - 1) for n in (smallest, fewest))
    if not powers or bits > _MAX_BITS or page_bits > _MAX_BITS or fewest < 2 or 1 << bits < smallest:  # noqa: PLR2004 - as the index block needs
        raise store.error("the sizes of an extensible array are not possible", address)
    if n_set > MAX_ENTRIES:
        raise store.region.unsupported(f"an array of {n_set:,} chunks; at most {MAX_ENTRIES:,} are read", address)
    n_super = 1 + bits - (smallest.bit_length() - 1)
    geometry = _Extensible(size_bytes, n_direct, smallest, fewest, 1 << page_bits, -(-bits // 8), n_super, n_set)
    if block is not None:
        yield from _index_block(store, block, geometry)


def _index_block(store: Store, address: int, array: _Extensible) -> Iterator[tuple[int, Entry]]:
    n_super_here = 2 * (array.fewest_pointers.bit_length() - 1)  # their data blocks stand in the index block itself
    n_blocks = 2 * (array.fewest_pointers - 1)
    n_pointers = n_blocks + max(array.n_super - n_super_here, 0)
    width = _entry_bytes(store, array.size_bytes)
    head = _PREFIX + store.address_bytes
    size = head + array.n_direct * width + n_pointers * store.address_bytes
    cursor = _block(store, address, b"EAIB", size)
    cursor.skip(head - _PREFIX)
    yield from _entries(cursor, 0, array.n_direct, array.size_bytes)
    first = array.n_direct
    for number in range(array.n_super):
        if first >= array.n_set:
            return
        n_data, per_block = array.in_super(number)
        if number < n_super_here:
            pointers = [cursor.pointer() for _ in range(n_data)]
            for pointer in pointers:
                yield from _data_block(store, pointer, array, first, per_block)
                first += per_block
        else:
            yield from _super_block(store, cursor.pointer(), array, first, number)
            first += n_data * per_block


def _super_block(
    store: Store, address: int | None, array: _Extensible, first: int, number: int
) -> Iterator[tuple[int, Entry]]:
    if address is None:
        return
    n_data, per_block = array.in_super(number)
    n_pages = per_block // array.page if per_block > array.page else 0
    bitmap_bytes = -(-n_pages // 8)
    head = _PREFIX + store.address_bytes + array.offset_bytes
    cursor = _block(store, address, b"EASB", head + n_data * (bitmap_bytes + store.address_bytes))
    cursor.skip(head - _PREFIX)
    bitmaps = [cursor.take(bitmap_bytes) for _ in range(n_data)]
    for bitmap in bitmaps:
        if first >= array.n_set:
            return
        yield from _data_block(store, cursor.pointer(), array, first, per_block, bitmap)
        first += per_block


def _data_block(
    store: Store, address: int | None, array: _Extensible, first: int, count: int, bitmap: bytes = b""
) -> Iterator[tuple[int, Entry]]:
    if address is None:
        return
    width = _entry_bytes(store, array.size_bytes)
    head = _PREFIX + store.address_bytes + array.offset_bytes
    if not bitmap:
        cursor = _block(store, address, b"EADB", head + count * width)
        cursor.skip(head - _PREFIX)
        yield from _entries(cursor, first, count, array.size_bytes)
        return
    _block(store, address, b"EADB", head)
    place = address + head + CHECKSUM_BYTES
    for number in range(count // array.page):
        if bitmap[number // 8] & (0x80 >> number % 8):
            cursor = store.cursor("a block of chunks", place, array.page * width + CHECKSUM_BYTES)
            check(cursor, array.page * width)
            yield from _entries(cursor, first + number * array.page, array.page, array.size_bytes)
        place += array.page * width + CHECKSUM_BYTES
