"""Spreads the stored elements of a sparse constant over its shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import LoadError, block_length, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_load_tflite.sparse import Level, Sparse


def spread_blocks(sparse: Sparse, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield all elements, those that are not stored being 0.

    Raises:
        LoadError: If an element goes outside of the shape, or elements and places are not equally many.
    """
    places = _places(sparse)
    count = places.size
    if count * sparse.dtype.bits != sparse.data.length * 8:
        raise _error(sparse, f"has {count:,} places for elements of {sparse.data.length:,} bytes")
    order = np.argsort(places, kind="stable")
    places = places[order]
    if (places[1:] == places[:-1]).any():
        raise _error(sparse, "has two elements at one place")
    values = decode(sparse.file.read(*sparse.data), sparse.dtype, count)[order]
    step = block_length(sparse.shape, sparse.dtype, max_bytes)
    total = math.prod(sparse.shape)
    for start in range(0, total, step):
        stop = min(start + step, total)
        first, last = np.searchsorted(places, (start, stop))
        block = np.zeros(stop - start, sparse.dtype.numpy)
        block[places[first:last] - start] = values[first:last]
        yield block


def _places(sparse: Sparse) -> NDArray[np.int64]:
    """Return the place of each stored element in the flattened shape."""
    positions = np.zeros(1, np.int64)  # of each entry among those of its level
    coordinates: list[NDArray[np.int64]] = []  # one row for each level so far
    for level in sparse.levels:
        parents, entries, positions = _entries(sparse, level, positions)
        coordinates = [row[parents] for row in coordinates]
        coordinates.append(entries)
    places = np.zeros(positions.size, np.int64)
    blocks = {level.target: level.size for level in sparse.levels if level.is_block}
    strides = [math.prod(sparse.shape[dimension + 1 :]) for dimension in range(len(sparse.shape))]
    along = [np.zeros(positions.size, np.int64) for _ in sparse.shape]
    for level, row in zip(sparse.levels, coordinates, strict=True):
        along[level.target] += row if level.is_block else row * blocks.get(level.target, 1)
    for dimension, length in enumerate(sparse.shape):
        if along[dimension].size and along[dimension].max() >= length:
            raise _error(sparse, f"has an element outside of its shape {list(sparse.shape)}")
        places += along[dimension] * strides[dimension]
    if (np.diff(positions) != 1).any() or (positions.size and positions[0]):
        raise _error(sparse, "stores its elements in another order than it describes")
    return places


def _entries(
    sparse: Sparse, level: Level, positions: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return for each entry of a level its parent, its index along the level, and its position in it."""
    limit = sparse.file.size
    if not level.segments:
        if positions.size * level.size > limit:
            raise _error(sparse, "describes more places than the file has bytes")
        parents = np.repeat(np.arange(positions.size), level.size)
        entries = np.tile(np.arange(level.size), positions.size)
        return parents, entries, positions[parents] * level.size + entries
    segments = np.array(level.segments, np.int64)
    indices = np.array(level.indices, np.int64)
    lengths = np.diff(segments)
    is_sound = lengths.size == positions.size and segments[0] == 0 and segments[-1] == indices.size
    if not is_sound or lengths.min(initial=0) < 0 or indices.min(initial=0) < 0:
        raise _error(sparse, "has indices that do not fit together")
    return np.repeat(np.arange(positions.size), lengths), indices, np.arange(indices.size)


def _error(sparse: Sparse, what: str) -> LoadError:
    return LoadError(sparse.file.name, f"a sparse tensor {what}", sparse.data.start)
