"""Reading a zarr array: chunk by chunk, or in rows straight out of compressed chunks of any size."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_lib_hdf5.boxes import boxes, cut_for

from diffai_core.plugin import block_length, regroup
from diffai_load_jax.codecs import Reader, reader_of
from diffai_load_jax.crc32c import crc32c

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5.boxes import Box
    from numpy.typing import NDArray

    from diffai_load_jax.values import Stored
    from diffai_load_jax.zarr_array import ZarrArray
    from diffai_load_jax.zarr_spec import ArraySpec

_PIECE_BYTES = 4 << 20
_INDEX_ENTRY = struct.Struct("<2Q")
_MISSING = (1 << 64) - 1


def array_blocks(array: ZarrArray, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield all elements in row-major order as 1-D blocks of at most ``max_bytes``.

    Raises:
        LoadError: If a chunk is damaged or has the wrong length.
    """
    spec = array.spec
    length = block_length(spec.shape, spec.dtype, max_bytes)
    pieces = _rows(array) if array.streams else _boxes(array)
    yield from regroup(pieces, length, spec.dtype)


def _fill(spec: ArraySpec) -> NDArray[Any]:
    """Return one element as it stands where nothing was written."""
    value = spec.fill
    kind = spec.dtype.numpy
    if value is None or spec.dtype.kind == "opaque":
        return np.zeros((), kind)
    if isinstance(value, str) and value.startswith("0x"):
        return np.frombuffer(bytes.fromhex(value[2:])[::-1], kind)[0]  # type: ignore[no-any-return]
    if isinstance(value, list):
        return np.array(complex(float(value[0]), float(value[1]))).astype(kind)
    return np.array(float(value) if isinstance(value, str) else value).astype(kind)


def _elements(spec: ArraySpec, data: bytes) -> NDArray[Any]:
    """Return bytes of a chunk as elements."""
    raw = np.frombuffer(data, spec.dtype.numpy if spec.dtype.bits >= 8 else np.uint8)  # noqa: PLR2004 - a byte
    if spec.swap:
        return raw.byteswap()
    if spec.dtype.bits >= 8:  # noqa: PLR2004 - a byte
        return raw
    codes = raw & np.uint8((1 << spec.dtype.bits) - 1)
    if spec.dtype.kind == "int":
        sign = np.uint8(1 << (spec.dtype.bits - 1))
        codes = (codes ^ sign) - sign
    return codes.view(spec.dtype.numpy)


@dataclass
class _Chunks:
    """Finds the stored chunks of an array; the indices of shards are read once."""

    array: ZarrArray

    def __post_init__(self) -> None:
        self._indices: dict[tuple[int, ...], list[tuple[int, int]]] = {}

    def find(self, place: tuple[int, ...]) -> Stored | None:
        """Return the chunk at a place of the grid, ``None`` if it was never written."""
        spec = self.array.spec
        if spec.shard is None:
            return self._whole(self.array.chunks.get(place))
        per_shard = [whole // part for whole, part in zip(spec.shard, spec.chunk, strict=True)]
        outer = tuple(at // count for at, count in zip(place, per_shard, strict=True))
        shard = self.array.chunks.get(outer)
        if shard is None:
            return None
        index = self._indices.get(outer)
        if index is None:
            self._indices.clear()
            index = self._indices[outer] = _shard_index(spec, shard, math.prod(per_shard))
        number = 0
        for at, count in zip(place, per_shard, strict=True):
            number = number * count + at % count
        start, size = index[number]
        return None if start == size == _MISSING else self._whole(shard.part(start, size))

    def _whole(self, value: Stored | None) -> Stored | None:
        """Leave out the checksum behind a chunk."""
        n_checksum = self.array.spec.n_checksum
        return value if value is None or not n_checksum else value.part(0, value.size - n_checksum)


def _shard_index(spec: ArraySpec, shard: Stored, count: int) -> list[tuple[int, int]]:
    size = count * _INDEX_ENTRY.size
    total = size + (4 if spec.index_checked else 0)
    if total > shard.size:
        raise shard.error(f"a shard of {shard.size:,} bytes is too short for its {count:,} chunks")
    data = shard.read(shard.size - total if spec.index_at_end else 0, total)
    if spec.index_checked and crc32c(data[:size]) != int.from_bytes(data[size:], "little"):
        raise shard.error("the index of a shard and its checksum disagree; it is damaged")
    index = list(_INDEX_ENTRY.iter_unpack(data[:size]))
    if sum(length for start, length in index if start != _MISSING) > shard.size:
        raise shard.error("the chunks of a shard share bytes")
    return index


def _rows(array: ZarrArray) -> Iterator[NDArray[Any]]:
    """Yield rows, taking them from all chunks beside each other at the same time."""
    spec = flattened(array.spec)
    chunks = _Chunks(array)
    fill = _fill(spec)
    inner = math.prod(spec.chunk[1:])
    step = max(1, _PIECE_BYTES // (inner * spec.item))
    counts = [-(-length // part) for length, part in zip(spec.shape[1:], spec.chunk[1:], strict=True)]
    flat_rank = len(array.spec.shape) - len(spec.shape)
    for band in range(-(-spec.shape[0] // spec.chunk[0])):
        places = [(band, *rest) for rest in product(*map(range, counts))]
        found = [chunks.find((*place, *(0,) * flat_rank)[: len(array.spec.shape)]) for place in places]
        readers = [None if value is None else reader_of(value, spec.codec) for value in found]
        n_rows = min(spec.chunk[0], spec.shape[0] - band * spec.chunk[0])
        for first in range(0, n_rows, step):
            count = min(step, n_rows - first)
            out = np.empty((count, *spec.shape[1:]), spec.dtype.numpy)
            for place, reader in zip(places, readers, strict=True):
                _take_rows(out, reader, spec, place, fill)
            yield out.reshape(-1)
        for reader in readers:
            if reader is not None:
                _skip(reader, (spec.chunk[0] - n_rows) * inner * spec.item)
                reader.finish()


def _take_rows(
    out: NDArray[Any], reader: Reader | None, spec: ArraySpec, place: tuple[int, ...], fill: NDArray[Any]
) -> None:
    """Put the next rows of a chunk where they belong; what reaches beyond the edge of the array is left out."""
    starts = [at * step for at, step in zip(place[1:], spec.chunk[1:], strict=True)]
    lengths = [
        min(step, length - start) for step, length, start in zip(spec.chunk[1:], spec.shape[1:], starts, strict=True)
    ]
    target = (slice(None), *(slice(s, s + n) for s, n in zip(starts, lengths, strict=True)))
    if reader is None:
        out[target] = fill
        return
    data = reader.read(len(out) * math.prod(spec.chunk[1:]) * spec.item)
    rows = _elements(spec, data).reshape(len(out), *spec.chunk[1:])
    out[target] = rows[(slice(None), *(slice(0, n) for n in lengths))]


def _skip(reader: Reader, count: int) -> None:
    while count:
        taken = min(count, _PIECE_BYTES)
        reader.read(taken)
        count -= taken


def flattened(spec: ArraySpec) -> ArraySpec:
    """Return an array whose chunks hold whole rows as one of a single dimension: it has the same elements in order."""
    if spec.chunk[1:] != spec.shape[1:] and spec.shape:
        return spec
    inner = math.prod(spec.shape[1:])
    first, chunk = (spec.shape[0], spec.chunk[0]) if spec.shape else (1, 1)
    return replace(spec, shape=(first * inner,), chunk=(max(chunk * inner, 1),), axes=(0,), shard=None)


def _boxes(array: ZarrArray) -> Iterator[NDArray[Any]]:
    spec = array.spec
    order = tuple(range(len(spec.shape)))
    chunks, fill = _Chunks(array), _fill(spec)
    for box in boxes(spec.shape, order, cut_for(spec.shape, order, spec.item, spec.chunk)):
        yield _box(spec, chunks, fill, box).reshape(-1)


def _box(spec: ArraySpec, chunks: _Chunks, fill: NDArray[Any], box: Box) -> NDArray[Any]:
    out = np.empty(tuple(stop - start for start, stop in box), spec.dtype.numpy)
    spans = [range(start // step, -(-stop // step)) for (start, stop), step in zip(box, spec.chunk, strict=True)]
    for place in product(*spans):
        inside, target = [], []
        for at, step, (start, stop) in zip(place, spec.chunk, box, strict=True):
            low, high = max(at * step, start), min((at + 1) * step, stop)
            inside.append(slice(low - at * step, high - at * step))
            target.append(slice(low - start, high - start))
        value = chunks.find(place)
        out[tuple(target)] = fill if value is None else _decoded(spec, value)[tuple(inside)]
    return out


def _decoded(spec: ArraySpec, value: Stored) -> NDArray[Any]:
    """Return a whole chunk."""
    reader = reader_of(value, spec.codec)
    data = reader.read(spec.chunk_bytes)
    reader.finish()
    stored = _elements(spec, data).reshape([spec.chunk[axis] for axis in spec.axes])
    return stored.transpose(np.argsort(spec.axes)) if spec.axes else stored
