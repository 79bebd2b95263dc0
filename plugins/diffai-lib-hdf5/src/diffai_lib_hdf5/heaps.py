"""Local heaps, which hold the names of older groups, and global heaps, which hold values of variable length."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_lib_hdf5.region import Cursor, Store

MAX_COLLECTIONS = 64
"""Most global heap collections that are kept in memory."""

_LOCAL_BYTES = 64
_GLOBAL_BYTES = 64


def read_local_heap(store: Store, address: int) -> Cursor:
    """Return the data of the local heap at ``address``.

    Raises:
        LoadError: If it is damaged.
    """
    cursor = store.upto("a local heap", address, _LOCAL_BYTES)
    cursor.expect(b"HEAP")
    cursor.version(0)
    cursor.skip(3)
    size = cursor.length()
    cursor.length()
    return store.cursor("a local heap", cursor.target(), size)


def local_name(heap: Cursor, offset: int) -> bytes:
    """Return the text at ``offset`` of the data of a local heap.

    Raises:
        LoadError: If it is outside.
    """
    heap.position = 0
    heap.skip(offset)
    return heap.text()


class GlobalHeaps:
    """The global heap collections of a file, read when they are asked for.

    Args:
        store: The file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._collections: dict[int, dict[int, bytes]] = {}

    def read(self, address: int, index: int) -> bytes:
        """Return an object of the collection at ``address``.

        Raises:
            LoadError: If it is not there.
        """
        found = self._collections.get(address)
        if found is None:
            while len(self._collections) >= MAX_COLLECTIONS:
                del self._collections[next(iter(self._collections))]
            found = self._collections[address] = self._collection(address)
        if index not in found:
            raise self._store.error(f"a global heap has no object {index}", address)
        return found[index]

    def _collection(self, address: int) -> dict[int, bytes]:
        what = "a global heap"
        cursor = self._store.upto(what, address, _GLOBAL_BYTES)
        cursor.expect(b"GCOL")
        cursor.version(1)
        cursor.skip(3)
        size = cursor.length()
        prefix = cursor.position
        cursor = self._store.cursor(what, address, size)
        cursor.skip(prefix)
        objects: dict[int, bytes] = {}
        smallest = 8 + self._store.length_bytes
        while cursor.left >= smallest:
            index = cursor.u16()
            cursor.skip(6)
            length = cursor.length()
            if not index:
                break  # what follows is free
            objects[index] = cursor.take(length)
            cursor.skip(min(-length % 8, cursor.left))
        return objects
