"""The attributes of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.btrees import records_v2
from diffai_lib_hdf5.fractal import FractalHeap
from diffai_lib_hdf5.headers import ATTRIBUTE, ATTRIBUTE_INFO, DATASPACE, shared_body
from diffai_lib_hdf5.region import Cursor, shown
from diffai_lib_hdf5.spaces import Space, space_in
from diffai_lib_hdf5.types import Type, type_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.headers import Header
    from diffai_lib_hdf5.region import Store

MAX_ATTRIBUTES = 100_000
"""Most attributes of one object."""

_BY_NAME, _BY_ORDER = 8, 9
_HEAP_ID_BYTES = 8
_IN_HEAP = 0x02
_SHARED_TYPE, _SHARED_SPACE = 1, 2


class Attribute(NamedTuple):
    """An attribute.

    Args:
        name: Its name.
        type: Type of its elements.
        space: Their shape.
        data: Their bytes.
    """

    name: str
    type: Type
    space: Space
    data: Cursor


def attributes_of(store: Store, header: Header) -> list[Attribute]:
    """Return the attributes of an object in the order of their names.

    Raises:
        LoadError: If one is damaged, or two have one name.
    """
    found: dict[str, Attribute] = {}
    for cursor in _messages(store, header):
        at = cursor.address
        attribute = _attribute(cursor)
        if attribute.name in found:
            raise store.error(f"an object has two attributes named {shown(attribute.name)}", at)
        if len(found) >= MAX_ATTRIBUTES:
            raise store.error(f"an object has more than {MAX_ATTRIBUTES:,} attributes", header.address)
        found[attribute.name] = attribute
    return [found[name] for name in sorted(found)]


def _messages(store: Store, header: Header) -> Iterator[Cursor]:
    yield from header.all(ATTRIBUTE)
    info = header.first(ATTRIBUTE_INFO)
    if info is None:
        return
    info.version(0)
    flags = info.u8()
    info.skip(2 if flags & 1 else 0)
    heap_address, tree = info.pointer(), info.pointer()
    if heap_address is None or tree is None:
        return
    heap = FractalHeap(store, heap_address)
    for record in records_v2(store, tree, (_BY_NAME, _BY_ORDER)):
        at = record.address
        identifier = record.take(_HEAP_ID_BYTES)
        if record.u8() & _IN_HEAP:
            raise record.unsupported("an attribute lies in the file's table of shared messages, which is not read")
        yield heap.read(identifier, at)


def _attribute(cursor: Cursor) -> Attribute:
    version = cursor.version(1, 2, 3)
    flags = cursor.u8()
    flags = 0 if version == 1 else flags
    sizes = [cursor.u16() for _ in range(3)]
    if version == 3:  # noqa: PLR2004 - which also says the characters of the name
        cursor.skip(1)
    name, kind, space = (_padded(cursor, size, version) for size in sizes)
    type_ = type_in(kind, shared=bool(flags & _SHARED_TYPE))
    shape = space_in(shared_body(space, DATASPACE) if flags & _SHARED_SPACE else space)
    label = name.name(name.data.partition(b"\0")[0])
    size = shape.n_elements * type_.size
    if size > cursor.left:
        raise cursor.error(f"the attribute {shown(label)} declares {size:,} bytes and holds {cursor.left:,}")
    return Attribute(label, type_, shape, cursor.part(size, f"the attribute {shown(label)}"))


def _padded(cursor: Cursor, size: int, version: int) -> Cursor:
    part = cursor.part(size, "an attribute")
    if version == 1:
        cursor.skip(min(-size % 8, cursor.left))
    return part
