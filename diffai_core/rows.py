"""Some rows of a tensor, read without its map: a page that a map touches keeps large pieces around it in memory."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.dtypes import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from diffai_core.dtypes import DType
    from diffai_core.files import DataFile

    Indices: TypeAlias = Sequence[int] | NDArray[np.integer[Any]]

_GAP = 1 << 12
"""Bytes between two runs up to which both are read at once."""
_AT_ONCE = 1 << 20
"""Bytes read at once, where a run is shorter than that."""


class Runs(NamedTuple):
    """Elements of a tensor that lie one after another, by number.

    Args:
        numbers: Run ``i`` begins at element ``numbers[i] * length``; any order.
        length: Elements of a run.
        shape: Shape of all of them, in the order of ``numbers``.
    """

    numbers: NDArray[np.int64]
    length: int
    shape: tuple[int, ...]


def runs_of(shape: tuple[int, ...], rows: Indices, columns: Indices | None) -> Runs:
    """Return the rows of the first dimension, or some columns of each: places in a row, flattened.

    Raises:
        IndexError: If there is no such row or column.

    Example:
        >>> runs_of((4, 2, 3), [3, 0], None)
        Runs(numbers=array([3, 0]), length=6, shape=(2, 2, 3))
        >>> runs_of((4, 2, 3), [3, 0], [5])
        Runs(numbers=array([23,  5]), length=1, shape=(2, 1))
    """
    n_rows = shape[0] if shape else 1
    length = math.prod(shape[1:])
    which = checked(rows, n_rows)
    if columns is None:
        return Runs(which, length, (len(which), *shape[1:]))
    places = which[:, None] * length + checked(columns, length)
    return Runs(places.reshape(-1), 1, places.shape)


def checked(indices: Indices, length: int) -> NDArray[np.int64]:
    """Return indices as an array.

    Raises:
        IndexError: If one is negative or not below ``length``.
    """
    import numpy as np

    found = np.asarray(indices, np.int64).reshape(-1)
    if len(found) and not 0 <= found.min() <= found.max() < length:
        msg = f"indices {found.min()} to {found.max()} of a dimension of {length}"
        raise IndexError(msg)
    return found


def from_file(file: DataFile, offset: int, dtype: DType, runs: Runs) -> NDArray[Any]:
    """Return runs of a tensor that begins at ``offset`` of a file.

    Raises:
        LoadError: If the bytes cannot be read.
    """
    import numpy as np

    found = np.empty((len(runs.numbers), runs.length), dtype.numpy)
    if found.size:
        order, ordered = _sorted(runs.numbers)
        if dtype.bits < 8:  # noqa: PLR2004 - a byte
            for begin, stop in pairwise(_edges(ordered, runs.length * dtype.bits // 8)):
                first, last = int(ordered[begin]), int(ordered[stop - 1])
                read = _elements(file, offset, dtype, first * runs.length, (last + 1) * runs.length)
                found[order[begin:stop]] = read.reshape(-1, runs.length)[ordered[begin:stop] - first]
        elif found[0].nbytes >= _AT_ONCE:
            for place, number in zip(order, ordered.tolist(), strict=True):
                file.read_into(offset + number * found[0].nbytes, memoryview(found[place].view(np.uint8)))
        else:
            _fill(file, offset, found, order, ordered)
    return found.reshape(runs.shape)


def _fill(
    file: DataFile, offset: int, found: NDArray[Any], order: NDArray[np.int64], ordered: NDArray[np.int64]
) -> None:
    """Fill in short runs of whole bytes, many reads into one buffer: NumPy has its price for each array."""
    import numpy as np

    n_bytes = found[0].nbytes
    edges = np.array(_edges(ordered, n_bytes))
    firsts = ordered[edges[:-1]]
    ends = np.cumsum(ordered[edges[1:] - 1] + 1 - firsts)
    begins = np.concatenate([[0], ends[:-1]])
    batches = np.flatnonzero(np.diff(ends * n_bytes // _AT_ONCE, prepend=-1, append=-1))
    for i, j in pairwise(batches.tolist()):
        base, runs = begins[i], slice(edges[i], edges[j])
        buffer = memoryview(bytearray(int(ends[j - 1] - base) * n_bytes))
        spans = np.stack([firsts[i:j], begins[i:j] - base, ends[i:j] - base], axis=1) * n_bytes
        for first, begin, end in spans.tolist():
            file.read_into(offset + first, buffer[begin:end])
        table = np.frombuffer(buffer, found.dtype).reshape(-1, found.shape[1])
        shifts = np.repeat(firsts[i:j] - begins[i:j] + base, np.diff(edges[i : j + 1]))
        found[order[runs]] = table[ordered[runs] - shifts]


def _elements(file: DataFile, offset: int, dtype: DType, start: int, stop: int) -> NDArray[Any]:
    """Return elements of which the first and the last may share a byte with others."""
    group = dtype.packed_group
    begin, end = start // group * group, -(-stop // group) * group
    raw = file.read(offset + dtype.nbytes(begin), dtype.nbytes(end - begin))
    return decode(raw, dtype, end - begin)[start - begin : stop - begin]


def from_pieces(pieces: Iterable[NDArray[Any]], dtype: DType, runs: Runs) -> NDArray[Any]:
    """Return runs out of consecutive 1-D pieces of a tensor that hold whole runs; takes no piece after the last.

    Raises:
        LoadError: If the pieces cannot be read.
    """
    import numpy as np

    found = np.empty((len(runs.numbers), runs.length), dtype.numpy)
    if found.size:
        order, ordered = _sorted(runs.numbers)
        done = first = 0
        for piece in pieces:
            table = piece.reshape(-1, runs.length)
            stop = int(np.searchsorted(ordered, first + len(table)))
            found[order[done:stop]] = table[ordered[done:stop] - first]
            done, first = stop, first + len(table)
            if done == len(ordered):
                break
    return found.reshape(runs.shape)


def _sorted(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    import numpy as np

    order = np.argsort(numbers, kind="stable")
    return order, numbers[order]


def _edges(ordered: NDArray[np.int64], n_bytes: int) -> list[int]:
    """Return where to cut ascending numbers of runs of ``n_bytes`` each, so that near ones are read at once."""
    import numpy as np

    apart = (np.diff(ordered) - 1) * n_bytes > _GAP
    pieces = ordered // max(_AT_ONCE // max(n_bytes, 1), 1)
    return [0, *(np.flatnonzero(apart | (np.diff(pieces) > 0)) + 1).tolist(), len(ordered)]
