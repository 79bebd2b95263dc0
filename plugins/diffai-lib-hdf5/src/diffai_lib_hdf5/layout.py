"""Where the elements of a dataset lie, as its header says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.headers import EXTERNAL_FILES, FILL, FILTERS, LAYOUT, OLD_FILL

if TYPE_CHECKING:
    from diffai_lib_hdf5.headers import Header
    from diffai_lib_hdf5.region import Cursor, Store

COMPACT, CONTIGUOUS, CHUNKED, VIRTUAL = range(4)
TREE_V1, SINGLE, IMPLICIT, FIXED_ARRAY, EXTENSIBLE_ARRAY, TREE_V2 = range(6)

MAX_FILTERS = 32
_PLAIN_EDGES, _FILTERED_SINGLE = 1, 2
_OWN_NAMES_FROM = 256
_WIDE_FROM = 5
_FILL_DEFINED = 0x20


class Filter(NamedTuple):
    """A step of the pipeline that made the stored chunk: number, whether it may be left out, parameters."""

    number: int
    optional: bool
    parameters: tuple[int, ...]


class Layout(NamedTuple):
    """Where elements lie.

    Args:
        kind: ``COMPACT``, ``CONTIGUOUS`` or ``CHUNKED``.
        address: Address of the elements, or of the index of the chunks; ``None`` if nothing was written.
        size: Bytes of compact elements, and of contiguous ones where the file says it.
        chunk: Shape of a chunk, in elements.
        index_kind: How chunks are found.
        size_bytes: Bytes of the size of a filtered chunk in the index; 0 where the index itself says it.
        single: Stored size and skipped filters of the only chunk.
        plain_edges: Whether chunks that reach beyond the edge are not filtered.
        element: Bytes of an element, as a chunked layout repeats it.
    """

    kind: int
    address: int | None
    size: int | None = None
    chunk: tuple[int, ...] = ()
    index_kind: int = TREE_V1
    size_bytes: int = 0
    single: tuple[int, int] | None = None
    plain_edges: bool = False
    element: int = 0


def layout_of(store: Store, header: Header) -> Layout:
    """Return where the elements of a dataset lie.

    Raises:
        LoadError: If the header is damaged, or the elements lie outside of the file.
    """
    cursor = header.first(LAYOUT)
    if cursor is None:
        raise store.error("a dataset does not say where its elements are", header.address)
    if header.has(EXTERNAL_FILES):
        raise store.error("a dataset keeps its elements in another file; such files are never opened", header.address)
    version = cursor.version(1, 2, 3, 4, 5)
    if version < 3:  # noqa: PLR2004 - the first layouts
        return _oldest(cursor)
    kind = cursor.u8()
    if kind == COMPACT:
        size = cursor.u16()
        at = cursor.address
        cursor.skip(size)
        return Layout(COMPACT, at, size)
    if kind == CONTIGUOUS:
        return Layout(CONTIGUOUS, cursor.pointer(), cursor.length())
    if kind == VIRTUAL:
        raise cursor.error("a virtual dataset takes its elements from other datasets or files; they are never opened")
    if kind != CHUNKED:
        raise cursor.error(f"a dataset is laid out in a way that is not known ({kind})")
    return _chunked_v3(cursor) if version == 3 else _chunked_v4(cursor, version)  # noqa: PLR2004 - of one index


def _oldest(cursor: Cursor) -> Layout:
    rank, kind = cursor.u8(), cursor.u8()
    cursor.skip(5)
    address = None if kind == COMPACT else cursor.pointer()
    dims = tuple(cursor.u32() for _ in range(rank))
    if kind == CONTIGUOUS:
        return Layout(CONTIGUOUS, address)
    if kind == CHUNKED and rank:
        return Layout(CHUNKED, address, chunk=dims[:-1], element=dims[-1])
    if kind != COMPACT:
        raise cursor.error(f"a dataset is laid out in a way that is not known ({kind})")
    size = cursor.u32()
    at = cursor.address
    cursor.skip(size)
    return Layout(COMPACT, at, size)


def _chunked_v3(cursor: Cursor) -> Layout:
    rank = cursor.u8()
    address = cursor.pointer()
    dims = tuple(cursor.u32() for _ in range(rank))
    if not dims:
        raise cursor.error("a chunk has no dimensions")
    return Layout(CHUNKED, address, chunk=dims[:-1], element=dims[-1])


def _chunked_v4(cursor: Cursor, version: int) -> Layout:
    flags, rank, width = cursor.u8(), cursor.u8(), cursor.u8()
    if not rank or not 1 <= width <= 8:  # noqa: PLR2004 - bytes of a length
        raise cursor.error("the shape of a chunk is damaged")
    dims = tuple(cursor.uint(width) for _ in range(rank))
    index = cursor.u8()
    single = None
    if index == SINGLE and flags & _FILTERED_SINGLE:
        single = (cursor.length(), cursor.u32())
    elif index in _PARAMETERS:
        cursor.skip(_PARAMETERS[index])
    elif index not in {SINGLE, IMPLICIT}:
        raise cursor.error(f"chunks are found in a way that is not known ({index})")
    size = 1
    for length in dims:
        size *= length
    size_bytes = 8 if version >= _WIDE_FROM else min(1 + (max(size.bit_length() - 1, 0) + 8) // 8, 8)
    return Layout(
        CHUNKED,
        cursor.pointer(),
        chunk=dims[:-1],
        index_kind=index,
        size_bytes=size_bytes,
        single=single,
        plain_edges=bool(flags & _PLAIN_EDGES),
        element=dims[-1],
    )


_PARAMETERS = {FIXED_ARRAY: 1, EXTENSIBLE_ARRAY: 5, TREE_V2: 6}


def filters_of(header: Header) -> tuple[Filter, ...]:
    """Return the filters in the order in which they were applied.

    Raises:
        LoadError: If the message is damaged.
    """
    cursor = header.first(FILTERS)
    if cursor is None:
        return ()
    version = cursor.version(1, 2)
    n_filters = cursor.u8()
    if n_filters > MAX_FILTERS:
        raise cursor.error(f"a pipeline of {n_filters} filters; at most {MAX_FILTERS} are possible")
    cursor.skip(6 if version == 1 else 0)
    return tuple(_filter(cursor, version) for _ in range(n_filters))


def _filter(cursor: Cursor, version: int) -> Filter:
    number = cursor.u16()
    n_name = cursor.u16() if version == 1 or number >= _OWN_NAMES_FROM else 0
    flags, n_parameters = cursor.u16(), cursor.u16()
    cursor.skip(n_name + (-n_name % 8 if version == 1 else 0))
    parameters = tuple(cursor.u32() for _ in range(n_parameters))
    if version == 1 and n_parameters % 2:
        cursor.skip(min(4, cursor.left))
    return Filter(number, bool(flags & 1), parameters)


def fill_of(header: Header, size: int) -> bytes:
    """Return the element of which a dataset consists where nothing was written; empty for zeros.

    Args:
        header: Header of the dataset.
        size: Bytes of an element.

    Raises:
        LoadError: If the message is damaged.
    """
    value = b""
    new, old = header.first(FILL), header.first(OLD_FILL)
    if new is not None:
        version = new.version(1, 2, 3)
        if version == 3:  # noqa: PLR2004 - the version with flags
            defined = bool(new.u8() & _FILL_DEFINED)
        else:
            new.skip(2)
            defined = bool(new.u8()) or version == 1
        value = new.take(new.u32()) if defined and new.left else b""
    elif old is not None:
        value = old.take(old.u32())
    return value if len(value) == size else b""
