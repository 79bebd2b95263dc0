"""Reading the elements of a dataset that does not simply lie in the file: chunked, big-endian, records, turned."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_lib_numpy.words import to_little_endian, word

from diffai_core.plugin import block_length, regroup
from diffai_lib_hdf5.boxes import boxes, cut_for
from diffai_lib_hdf5.filters import undone
from diffai_lib_hdf5.layout import CHUNKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from diffai_lib_numpy.elements import Field
    from numpy.typing import NDArray

    from diffai_lib_hdf5.boxes import Box
    from diffai_lib_hdf5.chunks import Chunk, ChunkGrid
    from diffai_lib_hdf5.datasets import Dataset

_SHORT_RUN = 512
_PIECE_BYTES = 4 << 20


def field_blocks(
    dataset: Dataset, field: Field, order: tuple[int, ...], shape: tuple[int, ...], max_bytes: int
) -> Iterator[NDArray[Any]]:
    """Yield the elements of one field as 1-D blocks of at most ``max_bytes``.

    Args:
        dataset: The dataset.
        field: Which bytes of each element.
        order: Dimensions of the dataset in the order of the wanted elements, the slowest first.
        shape: Shape of the tensor, those of the field included.
        max_bytes: Most bytes of a block.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    dtype = field.element.dtype
    pieces = _pieces(dataset, field, order)
    yield from regroup(pieces, block_length(shape, dtype, max_bytes), dtype)


def read_field(dataset: Dataset, field: Field) -> NDArray[Any]:
    """Return all elements of one field as a 1-D array, in the dataset's own order; for small ones."""
    pieces = list(_pieces(dataset, field, tuple(range(len(dataset.space.shape)))))
    return np.concatenate(pieces) if pieces else np.empty(0, field.element.dtype.numpy)


def _pieces(dataset: Dataset, field: Field, order: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    shape = dataset.space.shape
    reader = _Chunked(dataset, field) if dataset.layout.kind == CHUNKED else _Contiguous(dataset, field)
    cut = cut_for(shape, order, dataset.type.size, reader.chunk)
    axes = (*order, *range(len(order), len(order) + len(field.dims)))
    for box in boxes(shape, order, cut):
        found = np.ascontiguousarray(reader.read(box).transpose(axes)).reshape(-1)
        to_little_endian(found, field.element)
        yield found.view(field.element.dtype.numpy)


class _Contiguous:
    """Reads boxes of a dataset whose elements follow each other in row-major order, or were never written."""

    def __init__(self, dataset: Dataset, field: Field) -> None:
        self._dataset = dataset
        self._field = field
        self.chunk = (1,) * len(dataset.space.shape)

    def read(self, box: Box) -> NDArray[Any]:
        """Return the elements of a box, shaped; a new array."""
        dataset, field = self._dataset, self._field
        lengths = tuple(stop - start for start, stop in box)
        out = np.empty((*lengths, *field.shape), word(field.element.size))
        if dataset.layout.address is None:
            out[...] = _filled(dataset, field)
            return out
        flat = out.reshape(-1, *field.shape)
        record = dataset.type.size
        place = 0
        for first, run in _runs(dataset.space.shape, box):
            step = max(1, _PIECE_BYTES // record)
            for at in range(first, first + run, step):
                count = min(step, first + run - at)
                buffer = np.empty(count * record, np.uint8)
                dataset.store.region.read_into(dataset.layout.address + at * record, buffer.data)
                flat[place : place + count] = _records(buffer, (count,), record, field)
                place += count
        return out


def _runs(shape: tuple[int, ...], box: Box) -> Iterator[tuple[int, int]]:
    """Yield first element and number of each run of neighbours that a box consists of."""
    if not shape:
        yield 0, 1
        return
    inner = len(shape)
    run = 1
    while inner and run == _volume(shape[inner:]):
        inner -= 1
        run *= box[inner][1] - box[inner][0]
    strides = [_volume(shape[axis + 1 :]) for axis in range(len(shape))]
    start = sum(box[axis][0] * strides[axis] for axis in range(inner, len(shape)))
    for fixed in product(*(range(*box[axis]) for axis in range(inner))):
        yield start + sum(index * stride for index, stride in zip(fixed, strides, strict=False)), run


def _volume(lengths: Iterable[int]) -> int:
    found = 1
    for length in lengths:
        found *= length
    return found


class _Chunked:
    """Reads boxes of a chunked dataset; the chunks of one row of the grid are decoded one at a time."""

    def __init__(self, dataset: Dataset, field: Field) -> None:
        self._dataset = dataset
        self._field = field
        self._grid: ChunkGrid = dataset.grid()
        self._chunks = dataset.chunks(self._grid)
        self.chunk = self._grid.chunk

    def read(self, box: Box) -> NDArray[Any]:
        """Return the elements of a box, shaped; a new array."""
        field = self._field
        lengths = tuple(stop - start for start, stop in box)
        out = np.empty((*lengths, *field.shape), word(field.element.size))
        spans = [
            range(start // step, -(-stop // step)) for (start, stop), step in zip(box, self._grid.chunk, strict=True)
        ]
        for place in product(*spans):
            inside, target = self._overlap(place, box)
            chunk = self._chunks.get(self._grid.number(place))
            out[target] = _filled(self._dataset, field) if chunk is None else self._decoded(chunk, place)[inside]
        return out

    def _overlap(self, place: tuple[int, ...], box: Box) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        inside, target = [], []
        for at, step, (start, stop) in zip(place, self._grid.chunk, box, strict=True):
            low, high = max(at * step, start), min((at + 1) * step, stop)
            inside.append(slice(low - at * step, high - at * step))
            target.append(slice(low - start, high - start))
        return tuple(inside), tuple(target)

    def _decoded(self, chunk: Chunk, place: tuple[int, ...]) -> NDArray[Any]:
        """Return the elements of a whole chunk."""
        dataset, size = self._dataset, self._grid.chunk_bytes
        buffer = np.empty(chunk.size, np.uint8)
        dataset.store.region.read_into(chunk.address, buffer.data)
        if dataset.filters and not self._is_plain(place):
            data = undone(dataset.store.region, buffer.tobytes(), dataset.filters, chunk.skipped, size, chunk.address)
            buffer = np.frombuffer(data, np.uint8)
        elif chunk.size != size:
            raise dataset.store.error(f"a chunk has {chunk.size:,} bytes instead of {size:,}", chunk.address)
        return _records(buffer, self._grid.chunk, dataset.type.size, self._field)

    def _is_plain(self, place: tuple[int, ...]) -> bool:
        """Whether this chunk reaches beyond the edge, and such ones are not compressed."""
        if not self._dataset.layout.plain_edges:
            return False
        steps = zip(place, self._grid.chunk, self._grid.shape, strict=True)
        return any((at + 1) * step > length for at, step, length in steps)


def _records(buffer: NDArray[np.uint8], shape: tuple[int, ...], record: int, field: Field) -> NDArray[Any]:
    """Return a view of one field of records that lie in ``buffer`` in row-major order."""
    strides = []
    stride = record
    for length in reversed(shape):
        strides.append(stride)
        stride *= length
    return np.ndarray(
        (*shape, *field.shape),
        word(field.element.size),
        buffer=buffer.data,
        offset=field.offset,
        strides=(*reversed(strides), *(step for _, step in field.dims)),
    )


def _filled(dataset: Dataset, field: Field) -> NDArray[Any]:
    return _records(np.frombuffer(dataset.fill or bytes(dataset.type.size), np.uint8), (), dataset.type.size, field)
