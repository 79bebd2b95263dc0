"""The index of a chunked dataset: which chunk lies where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.btrees import CHUNK_NODE, leaves_v1, records_v2
from diffai_lib_hdf5.chunk_arrays import Entry, extensible_entries, fixed_entries
from diffai_lib_hdf5.layout import EXTENSIBLE_ARRAY, FIXED_ARRAY, IMPLICIT, SINGLE, TREE_V1, TREE_V2, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.region import Store
    from diffai_lib_hdf5.spaces import Space

MAX_CHUNKS = 200_000
"""Most chunks of one dataset: their index is in memory while the dataset is read."""

_PLAIN_RECORDS, _FILTERED_RECORDS = 10, 11


class Chunk(NamedTuple):
    """A chunk as it is stored.

    Args:
        address: Where it starts.
        size: Bytes as stored.
        skipped: Bit mask of the filters that were left out.
    """

    address: int
    size: int
    skipped: int


class ChunkGrid(NamedTuple):
    """How a dataset is cut into chunks.

    Args:
        shape: Shape of the dataset.
        chunk: Shape of a chunk.
        chunk_bytes: Bytes of a whole chunk.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    chunk_bytes: int

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks in each dimension."""
        return tuple(-(-length // step) for length, step in zip(self.shape, self.chunk, strict=True))

    def number(self, place: tuple[int, ...]) -> int:
        """Return the number of the chunk at a place of the grid, in row-major order."""
        found = 0
        for at, count in zip(place, self.counts, strict=True):
            found = found * count + at
        return found


def chunk_grid(store: Store, space: Space, layout: Layout, element: int, at: int) -> ChunkGrid:
    """Return how the dataset is cut.

    Raises:
        LoadError: If shape, chunk and type do not fit together, or there are too many chunks.
    """
    if len(layout.chunk) != len(space.shape) or not all(layout.chunk) or layout.element != element:
        raise store.error(f"chunks of shape {layout.chunk} do not fit a dataset of shape {space.shape}", at)
    grid = ChunkGrid(space.shape, layout.chunk, math.prod(layout.chunk) * element)
    n_chunks = math.prod(grid.counts)
    if n_chunks > MAX_CHUNKS and layout.address is not None:
        reason = f"a dataset of {n_chunks:,} chunks; at most {MAX_CHUNKS:,} are read; save it with larger chunks"
        raise store.region.unsupported(reason, at)
    return grid


def read_chunks(store: Store, space: Space, layout: Layout, grid: ChunkGrid, *, filtered: bool) -> dict[int, Chunk]:
    """Read the index: the chunks that were written, by their number in row-major order.

    Raises:
        LoadError: If the index is damaged, or a chunk lies outside of the file.
    """
    if layout.address is None:
        return {}
    chunks: dict[int, Chunk] = {}
    counts = grid.counts
    for place, chunk in _entries(store, space, layout, grid, filtered=filtered):
        if not all(at < count for at, count in zip(place, counts, strict=True)):
            raise store.error(f"the chunk at {place} of the grid lies outside of the dataset", layout.address)
        number = grid.number(place)
        if number in chunks:
            raise store.error(f"the chunk at {place} of the grid is there twice", layout.address)
        store.region.check(f"the chunk at {place} of the grid", chunk.address, chunk.size)
        chunks[number] = chunk
    return chunks


def _entries(
    store: Store, space: Space, layout: Layout, grid: ChunkGrid, *, filtered: bool
) -> Iterator[tuple[tuple[int, ...], Chunk]]:
    if layout.index_kind == TREE_V1:
        yield from _from_tree_v1(store, layout, grid)
    elif layout.index_kind == TREE_V2:
        yield from _from_tree_v2(store, layout, grid)
    elif layout.index_kind == SINGLE:
        assert layout.address is not None
        size, skipped = layout.single or (grid.chunk_bytes, 0)
        if math.prod(grid.counts) == 1:
            yield (0,) * len(grid.shape), Chunk(layout.address, size, skipped)
    else:
        yield from _from_array(store, space, layout, grid, filtered=filtered)


def _from_tree_v1(store: Store, layout: Layout, grid: ChunkGrid) -> Iterator[tuple[tuple[int, ...], Chunk]]:
    assert layout.address is not None
    rank = len(grid.shape)
    for key, address in leaves_v1(store, layout.address, CHUNK_NODE, 8 + 8 * (rank + 1)):
        size, skipped = key.u32(), key.u32()
        place = []
        for step in grid.chunk:
            at, rest = divmod(key.uint(8), step)
            if rest:
                raise key.error("a chunk does not start where chunks do")
            place.append(at)
        yield tuple(place), Chunk(address, size, skipped)


def _from_tree_v2(store: Store, layout: Layout, grid: ChunkGrid) -> Iterator[tuple[tuple[int, ...], Chunk]]:
    assert layout.address is not None
    rank = len(grid.shape)
    for record in records_v2(store, layout.address, (_PLAIN_RECORDS, _FILTERED_RECORDS)):
        address = record.target()
        if record.left > 8 * rank:
            size, skipped = record.uint(layout.size_bytes), record.u32()
        else:
            size, skipped = grid.chunk_bytes, 0
        yield tuple(record.uint(8) for _ in range(rank)), Chunk(address, size, skipped)


def _from_array(
    store: Store, space: Space, layout: Layout, grid: ChunkGrid, *, filtered: bool
) -> Iterator[tuple[tuple[int, ...], Chunk]]:
    """Arrays number chunks by the limits of the dataset, the dimension without limit first."""
    order = _order(space) if layout.index_kind == EXTENSIBLE_ARRAY else tuple(range(len(grid.shape)))
    limits = [
        math.inf if space.limits[axis] is None else -(-(space.limits[axis] or 0) // grid.chunk[axis]) for axis in order
    ]
    if math.inf in limits[1:]:
        raise store.error("chunks in an array, where more than one dimension has no limit", layout.address or 0)
    counts = grid.counts
    if layout.index_kind == IMPLICIT and math.prod(limits) > MAX_CHUNKS:
        raise store.region.unsupported(f"a dataset with room for more than {MAX_CHUNKS:,} chunks", layout.address or 0)
    n_implicit = int(math.prod(limits)) if layout.index_kind == IMPLICIT else 0
    for index, entry in _array_entries(store, layout, grid.chunk_bytes, n_implicit, filtered=filtered):
        place = [0] * len(order)
        rest = index
        for axis, limit in zip(reversed(order[1:]), reversed(limits[1:]), strict=True):
            rest, place[axis] = divmod(rest, int(limit))
        place[order[0]] = rest
        if all(at < count for at, count in zip(place, counts, strict=True)):  # others were cut off
            size = grid.chunk_bytes if entry.size is None else entry.size
            yield tuple(place), Chunk(entry.address, size, entry.skipped)


def _order(space: Space) -> tuple[int, ...]:
    """Return the axes as an extensible array counts them."""
    first = next((axis for axis, limit in enumerate(space.limits) if limit is None), 0)
    return (first, *(axis for axis in range(len(space.shape)) if axis != first))


def _array_entries(
    store: Store, layout: Layout, chunk_bytes: int, n_implicit: int, *, filtered: bool
) -> Iterator[tuple[int, Entry]]:
    assert layout.address is not None
    size_bytes = layout.size_bytes if filtered else 0
    if layout.index_kind == IMPLICIT:
        for index in range(n_implicit):
            yield index, Entry(layout.address + index * chunk_bytes, None, 0)
    elif layout.index_kind == FIXED_ARRAY:
        yield from fixed_entries(store, layout.address, size_bytes)
    else:
        yield from extensible_entries(store, layout.address, size_bytes)
