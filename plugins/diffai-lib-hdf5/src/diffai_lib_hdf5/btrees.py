"""The two kinds of B-trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.checksum import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.region import Cursor, Store

MAX_NODES = 1_000_000
"""Most nodes of one tree."""
MAX_DEPTH = 64

GROUP_NODE, CHUNK_NODE = 0, 1

_V2_HEADER_BYTES = 64
_V2_PREFIX = 10
"""Signature, version, type and checksum of a node."""


class _Nodes:
    """Nodes seen so far, so that a tree that is none ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: set[int] = set()

    def add(self, address: int) -> None:
        if address in self._seen or len(self._seen) >= MAX_NODES:
            raise self._store.error("the nodes of a B-tree run in a circle, or are too many", address)
        self._seen.add(address)


def leaves_v1(store: Store, address: int, kind: int, key_bytes: int) -> Iterator[tuple[Cursor, int]]:
    """Yield the key before each child of the lowest level, and the address of the child, in order.

    Args:
        store: The file.
        address: Address of the root.
        kind: ``GROUP_NODE`` or ``CHUNK_NODE``.
        key_bytes: Bytes of a key.

    Raises:
        LoadError: If the tree is damaged.
    """
    nodes = _Nodes(store)
    stack: list[tuple[int, int | None]] = [(address, None)]
    while stack:
        place, wanted = stack.pop()
        nodes.add(place)
        level, children = _node_v1(store, place, kind, key_bytes)
        if wanted is not None and level != wanted:
            raise store.error(f"a node of a B-tree is on level {level} instead of {wanted}", place)
        if level:
            stack.extend((child, level - 1) for _, child in reversed(children))
        else:
            yield from children


def _node_v1(store: Store, address: int, kind: int, key_bytes: int) -> tuple[int, list[tuple[Cursor, int]]]:
    what = "a node of a B-tree"
    width = store.address_bytes
    cursor = store.cursor(what, address, 8 + 2 * width)
    cursor.expect(b"TREE")
    found, level, n_entries = cursor.u8(), cursor.u8(), cursor.u16()
    if found != kind:
        raise store.error(f"a node of a B-tree is of kind {found} instead of {kind}", address)
    cursor = store.cursor(what, address + 8 + 2 * width, n_entries * (key_bytes + width))
    return level, [(cursor.part(key_bytes, what), cursor.target()) for _ in range(n_entries)]


class _TreeV2(NamedTuple):
    """What all nodes of a newer tree share; ``widths`` are, for each level, those of its three child fields."""

    kind: int
    node_bytes: int
    record_bytes: int
    count_bytes: int
    total_bytes: tuple[int, ...]


def records_v2(store: Store, address: int, kinds: tuple[int, ...]) -> Iterator[Cursor]:
    """Yield the records of a newer B-tree in order.

    Args:
        store: The file.
        address: Address of its header.
        kinds: Types of records that are expected.

    Raises:
        LoadError: If the tree is damaged.
    """
    what = "the header of a B-tree"
    cursor = store.upto(what, address, _V2_HEADER_BYTES)
    cursor.expect(b"BTHD")
    cursor.version(0)
    kind, node_bytes, record_bytes, depth = cursor.u8(), cursor.u32(), cursor.u16(), cursor.u16()
    cursor.skip(2)
    root, n_records, total = cursor.pointer(), cursor.u16(), cursor.length()
    check(cursor)
    if kind not in kinds or not record_bytes or depth > MAX_DEPTH or node_bytes <= _V2_PREFIX + record_bytes:
        raise store.error(f"a B-tree of kind {kind} with records of {record_bytes} bytes is not possible here", address)
    if root is None or not n_records:
        return
    tree = _measured(store, kind, node_bytes, record_bytes, depth)
    n_found = 0
    for record in _walk_v2(store, tree, (root, n_records, depth)):
        n_found += 1
        yield record
    if n_found != total:
        raise store.error(f"a B-tree holds {n_found:,} of its {total:,} records", address)


def _measured(store: Store, kind: int, node_bytes: int, record_bytes: int, depth: int) -> _TreeV2:
    """Work out how wide the fields of child pointers are; it follows from how much a node can hold."""
    most = (node_bytes - _V2_PREFIX) // record_bytes
    count_bytes = enough_bytes(most)
    totals, total_bytes = most, [0]
    for _ in range(depth):
        pointer = store.address_bytes + count_bytes + total_bytes[-1]
        here = max(node_bytes - _V2_PREFIX - pointer, 0) // (record_bytes + pointer)
        totals = (here + 1) * totals + here
        total_bytes.append(min(enough_bytes(totals), 8))
    return _TreeV2(kind, node_bytes, record_bytes, count_bytes, tuple(total_bytes))


def enough_bytes(limit: int) -> int:
    """Return how many bytes the format takes for numbers up to ``limit``."""
    return max(limit.bit_length() - 1, 0) // 8 + 1


def _walk_v2(store: Store, tree: _TreeV2, root: tuple[int, int, int]) -> Iterator[Cursor]:
    nodes = _Nodes(store)
    stack: list[tuple[int, int, int] | Cursor] = [root]
    while stack:
        entry = stack.pop()
        if not isinstance(entry, tuple):
            yield entry
            continue
        address, n_records, depth = entry
        nodes.add(address)
        records, children = _node_v2(store, tree, address, n_records, depth)
        if not depth:
            yield from records
            continue
        mixed: list[tuple[int, int, int] | Cursor] = [children[0]]
        for record, child in zip(records, children[1:], strict=True):
            mixed += [record, child]
        stack.extend(reversed(mixed))


def _node_v2(
    store: Store, tree: _TreeV2, address: int, n_records: int, depth: int
) -> tuple[list[Cursor], list[tuple[int, int, int]]]:
    what = "a node of a B-tree"
    total_bytes = tree.total_bytes[depth - 1] if depth > 1 else 0
    pointer_bytes = store.address_bytes + tree.count_bytes + total_bytes if depth else 0
    used = _V2_PREFIX - 4 + n_records * tree.record_bytes + (n_records + 1) * pointer_bytes
    if used + 4 > tree.node_bytes:
        raise store.error(f"a node of a B-tree is said to hold {n_records} records, more than it can", address)
    cursor = store.cursor(what, address, used + 4)
    cursor.expect(b"BTIN" if depth else b"BTLF")
    cursor.version(0)
    if cursor.u8() != tree.kind:
        raise store.error("a node of a B-tree belongs to a tree of another kind", address)
    check(cursor, used)
    records = [cursor.part(tree.record_bytes, "a record of a B-tree") for _ in range(n_records)]
    children = []
    for _ in range(n_records + 1 if depth else 0):
        place, count = cursor.target(), cursor.uint(tree.count_bytes)
        cursor.skip(total_bytes)
        children.append((place, count, depth - 1))
    return records, children
