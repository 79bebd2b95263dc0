"""A dataset, as its header describes it, and what must hold before a byte of it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_lib_numpy.elements import Element, Field

from diffai_core.plugin import opaque_dtype
from diffai_lib_hdf5.boxes import cut_for
from diffai_lib_hdf5.chunks import ChunkGrid, chunk_grid, read_chunks
from diffai_lib_hdf5.elements import MAX_ELEMENT_BYTES
from diffai_lib_hdf5.filters import complaint
from diffai_lib_hdf5.headers import DATASPACE, DATATYPE, LAYOUT, Header
from diffai_lib_hdf5.layout import CHUNKED, COMPACT, Filter, Layout, fill_of, filters_of, layout_of
from diffai_lib_hdf5.spaces import Space, space_in
from diffai_lib_hdf5.types import Type, type_in

if TYPE_CHECKING:
    from diffai_lib_hdf5.chunks import Chunk
    from diffai_lib_hdf5.region import Store

MAX_CHUNK_BYTES = 64 << 20
"""Largest compressed chunk: it is decompressed as a whole."""
MAX_UNWRITTEN_BYTES = 64 << 20
"""Most bytes of a dataset that were never written; they take no room in the file, so only this bounds them."""
MAX_READINGS = 64
"""How often one chunk may have to be decompressed, where rows are wanted and chunks are tall."""


@dataclass(frozen=True)
class Dataset:
    """A dataset. Picklable.

    Args:
        path: Where it is in the file, with a slash before.
        store: The file.
        address: Address of its header.
        type: Type of its elements.
        space: Their shape.
        layout: Where they lie.
        filters: How chunks were made.
        fill: The element that stands where nothing was written; empty for zeros.
    """

    path: str
    store: Store
    address: int
    type: Type
    space: Space
    layout: Layout
    filters: tuple[Filter, ...]
    fill: bytes

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.space.n_elements * self.type.size

    @property
    def start(self) -> int | None:
        """Offset of the elements in the file where they lie there one after the other; else ``None``."""
        if self.layout.kind == CHUNKED or self.layout.address is None:
            return None
        return self.store.region.file_offset(self.layout.address)

    @property
    def start_or_header(self) -> int:
        """Address of the elements where they follow each other, else of the header; for messages."""
        return self.address if self.layout.kind == CHUNKED or self.layout.address is None else self.layout.address

    def raw(self) -> bytes:
        """Return the bytes of all elements; for small datasets.

        Raises:
            LoadError: If they cannot be read as declared.
        """
        from diffai_lib_hdf5.blocks import read_field

        element = Element(opaque_dtype("element", self.type.size), 0)
        return read_field(self, Field("", 0, (), element)).tobytes()

    def grid(self) -> ChunkGrid:
        """Return how it is cut into chunks."""
        return chunk_grid(self.store, self.space, self.layout, self.type.size, self.address)

    def chunks(self, grid: ChunkGrid) -> dict[int, Chunk]:
        """Read where its chunks are."""
        return read_chunks(self.store, self.space, self.layout, grid, filtered=bool(self.filters))


def is_dataset(header: Header) -> bool:
    """Whether the object is a dataset."""
    return header.has(LAYOUT) or (header.has(DATASPACE) and header.has(DATATYPE))


def read_dataset(store: Store, path: str, header: Header) -> Dataset:
    """Read what a header says of a dataset, and check that its elements can be there.

    Raises:
        LoadError: If it is damaged, its elements are in other files, or it declares more than the file can hold.
    """
    kind, space = header.first(DATATYPE), header.first(DATASPACE)
    if kind is None or space is None:
        raise store.error("a dataset has no type or no shape", header.address)
    type_ = type_in(kind)
    if type_.size > MAX_ELEMENT_BYTES:
        reason = f"dataset {path} has elements of {type_.size:,} bytes; at most {MAX_ELEMENT_BYTES:,} are read"
        raise store.region.unsupported(reason, header.address)
    dataset = Dataset(
        path,
        store,
        header.address,
        type_,
        space_in(space),
        layout_of(store, header),
        filters_of(header),
        fill_of(header, type_.size),
    )
    if dataset.space.n_elements:
        _check_place(dataset)
    return dataset


def _check_place(dataset: Dataset) -> None:
    layout, region, nbytes = dataset.layout, dataset.store.region, dataset.nbytes
    if layout.address is None:
        _check_unwritten(dataset, nbytes)
    elif layout.kind != CHUNKED:
        if layout.size is not None and layout.size < nbytes:
            reason = f"dataset {dataset.path} declares {nbytes:,} bytes and has room for {layout.size:,}"
            raise region.error(reason, dataset.address)
        region.check(f"dataset {dataset.path}", layout.address, nbytes)
    if layout.kind == COMPACT and dataset.filters:
        raise region.error(f"dataset {dataset.path} is compressed and compact, which cannot be", dataset.address)


def _check_unwritten(dataset: Dataset, n_unwritten: int) -> None:
    if n_unwritten > MAX_UNWRITTEN_BYTES:
        region = dataset.store.region
        reason = f"dataset {dataset.path} declares {dataset.nbytes:,} bytes, {n_unwritten:,} of which are not there"
        raise region.error(reason, dataset.address)


def raw_extents(dataset: Dataset, order: tuple[int, ...] | None = None) -> list[tuple[int, int]]:
    """Return start and end of everything the dataset has in the file.

    Args:
        dataset: The dataset.
        order: Dimensions in the order in which elements will be wanted; as they are, if not given.

    Raises:
        UnsupportedError: If its chunks cannot be read with bounded work.
        LoadError: If the index is damaged, or too much was never written.
    """
    layout = dataset.layout
    if layout.address is None or not dataset.space.n_elements:
        return []
    if layout.kind != CHUNKED:
        return [(layout.address, layout.address + dataset.nbytes)]
    grid = dataset.grid()
    _check_readable(dataset, grid, order or tuple(range(len(grid.shape))))
    chunks = dataset.chunks(grid)
    n_missing = math.prod(grid.counts) - len(chunks)
    _check_unwritten(dataset, min(n_missing * grid.chunk_bytes, dataset.nbytes))
    for chunk in chunks.values():
        if not dataset.filters and chunk.size != grid.chunk_bytes:
            reason = f"a chunk of dataset {dataset.path} has {chunk.size:,} bytes instead of {grid.chunk_bytes:,}"
            raise dataset.store.error(reason, chunk.address)
    return [(chunk.address, chunk.address + chunk.size) for chunk in chunks.values()]


def _check_readable(dataset: Dataset, grid: ChunkGrid, order: tuple[int, ...]) -> None:
    region = dataset.store.region
    problem = complaint(dataset.filters)
    if problem:
        raise region.unsupported(f"dataset {dataset.path} is {problem}", dataset.address)
    if grid.chunk_bytes > MAX_CHUNK_BYTES:
        reason = (
            f"dataset {dataset.path} has chunks of {grid.chunk_bytes:,} bytes; at most {MAX_CHUNK_BYTES:,} are read;"
            " save it with smaller chunks"
        )
        raise region.unsupported(reason, dataset.address)
    cut = cut_for(grid.shape, order, dataset.type.size, grid.chunk)
    if cut.n_readings > MAX_READINGS:
        reason = (
            f"dataset {dataset.path} has chunks of shape {grid.chunk}: each would be decompressed"
            f" {cut.n_readings} times for rows of {grid.shape}; save it with flatter chunks"
        )
        raise region.unsupported(reason, dataset.address)
