"""The links of a group, in each of the three ways in which files hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.btrees import GROUP_NODE, leaves_v1, records_v2
from diffai_lib_hdf5.fractal import FractalHeap
from diffai_lib_hdf5.headers import LINK, LINK_INFO, SYMBOL_TABLE, Header
from diffai_lib_hdf5.heaps import local_name, read_local_heap
from diffai_lib_hdf5.region import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.region import Cursor, Store

MAX_LINKS = 1_000_000
"""Most links of one group."""

_SOFT_ENTRY = 2
_BY_NAME, _BY_ORDER = 5, 6
_HARD, _SOFT, _EXTERNAL = 0, 1, 64
_HAS_ORDER, _HAS_TYPE, _HAS_CHARACTERS = 4, 8, 16


class Link(NamedTuple):
    """A link of a group.

    Args:
        name: Its name.
        address: Header of the object it leads to, for a hard link.
        path: Where a soft link leads, or ``file:path`` of an external one.
        external: Whether it leads out of the file.
        at: Address of the link itself.
    """

    name: str
    address: int | None
    path: str
    external: bool
    at: int


def links_of(store: Store, header: Header) -> list[Link]:
    """Return the links of a group in the order of their names.

    Raises:
        LoadError: If the group is damaged, or two links have one name.
    """
    links: dict[str, Link] = {}
    for link in _links(store, header):
        if not link.name or "/" in link.name or link.name == ".":
            raise store.error(f"a link has the name {shown(link.name)}, which is none", link.at)
        if link.name in links:
            raise store.error(f"a group has two links named {shown(link.name)}", link.at)
        if len(links) >= MAX_LINKS:
            raise store.error(f"a group has more than {MAX_LINKS:,} links", header.address)
        links[link.name] = link
    return [links[name] for name in sorted(links)]


def is_group(header: Header) -> bool:
    """Whether the object is a group."""
    return header.has(SYMBOL_TABLE) or header.has(LINK_INFO) or header.has(LINK)


def _links(store: Store, header: Header) -> Iterator[Link]:
    table = header.first(SYMBOL_TABLE)
    if table is not None:
        yield from _from_symbols(store, table)
    for message in header.all(LINK):
        yield _link(message)
    info = header.first(LINK_INFO)
    if info is not None:
        yield from _from_heap(store, info)


def _from_symbols(store: Store, table: Cursor) -> Iterator[Link]:
    tree, heap_address = table.target(), table.target()
    heap = read_local_heap(store, heap_address)
    for _, child in leaves_v1(store, tree, GROUP_NODE, store.length_bytes):
        yield from _from_node(store, child, heap)


def _from_node(store: Store, address: int, heap: Cursor) -> Iterator[Link]:
    what = "a node of symbols"
    cursor = store.cursor(what, address, 8)
    cursor.expect(b"SNOD")
    cursor.version(1)
    cursor.skip(1)
    n_symbols = cursor.u16()
    width = 2 * store.address_bytes + 24
    cursor = store.cursor(what, address + 8, n_symbols * width)
    for _ in range(n_symbols):
        at = cursor.address
        name = local_name(heap, cursor.uint(store.address_bytes))
        target = cursor.pointer()
        kind = cursor.u32()
        cursor.skip(4)
        scratch = cursor.part(16, what)
        if kind == _SOFT_ENTRY:
            path = local_name(heap, scratch.u32())
            yield Link(cursor.name(name), None, cursor.name(path), external=False, at=at)
        elif target is None:
            raise store.error("a link leads nowhere", at)
        else:
            yield Link(cursor.name(name), target, "", external=False, at=at)


def _from_heap(store: Store, info: Cursor) -> Iterator[Link]:
    info.version(0)
    flags = info.u8()
    info.skip(8 if flags & 1 else 0)
    heap_address, tree = info.pointer(), info.pointer()
    if heap_address is None or tree is None:
        return
    heap = FractalHeap(store, heap_address)
    for record in records_v2(store, tree, (_BY_NAME, _BY_ORDER)):
        at = record.address
        identifier = record.data[4:]
        yield _link(heap.read(identifier, at))


def _link(cursor: Cursor) -> Link:
    at = cursor.address
    cursor.version(1)
    flags = cursor.u8()
    kind = cursor.u8() if flags & _HAS_TYPE else _HARD
    cursor.skip(8 if flags & _HAS_ORDER else 0)
    cursor.skip(1 if flags & _HAS_CHARACTERS else 0)
    name = cursor.name(cursor.take(cursor.uint(1 << (flags & 3))))
    if kind == _HARD:
        return Link(name, cursor.target(), "", external=False, at=at)
    value = cursor.take(cursor.u16())
    if kind == _SOFT:
        return Link(name, None, cursor.name(value), external=False, at=at)
    if kind == _EXTERNAL:
        file, _, path = value[1:].rstrip(b"\0").partition(b"\0")
        return Link(name, None, f"{cursor.name(file)}:{cursor.name(path)}", external=True, at=at)
    raise cursor.unsupported(f"the link {shown(name)} is of kind {kind}, which this reader does not know")
