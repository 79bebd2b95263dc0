"""Reads rows of tables: some of them, or all in pieces of equal rows on both sides."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np

from diffai_core.plugin import FileTensor, decode, regroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from diffai_compare_embeddings.tables import Table
    from diffai_core.plugin import TensorRef

    Reals = NDArray[np.float64]

_PIECE = 1 << 22


class Piece(NamedTuple):
    """Some rows of both sides that stand against each other.

    Args:
        start: Number of the first among the common rows.
        old: float64, shape ``(rows, width)``.
        new: The same rows of NEW.
    """

    start: int
    old: Reals
    new: Reals


def pieces(table: Table) -> Iterator[Piece]:
    """Yield all common rows in order, some megabytes at a time; the sizes depend on the width alone."""
    n_rows = max(_PIECE // (8 * table.width), 1)
    if table.new_rows is None:
        sides = zip(_row_blocks(table.old, n_rows), _row_blocks(table.new, n_rows), strict=False)
        for number, (old, new) in enumerate(sides):
            start, count = number * n_rows, min(len(old), len(new))
            yield Piece(start, old[:count], new[:count])
        return
    readers = [_any_rows(ref) for ref in (table.old, table.new)]
    for start in range(0, table.n_common, n_rows):
        common = np.arange(start, min(start + n_rows, table.n_common))
        yield Piece(start, readers[0](table.old_row(common)), readers[1](table.new_row(common)))


def _any_rows(ref: TensorRef) -> Callable[[NDArray[np.intp]], Reals]:
    """Return a function that gives rows in any order; a table that is decoded as it is read is held meanwhile."""
    if _is_plain(ref):
        return partial(rows_of, ref)
    array = ref.read().reshape(ref.shape)
    return lambda numbers: np.asarray(array[numbers], dtype=np.float64)


def rows_of(ref: TensorRef, numbers: NDArray[np.intp]) -> Reals:
    """Return some rows of a table, in the order of their numbers."""
    return np.asarray(ref.read_rows(numbers), dtype=np.float64)


def evenly_spaced(n_all: int, n_wanted: int) -> NDArray[np.intp]:
    """Return the numbers of evenly spaced rows, all of them if there are no more than wanted."""
    count = min(n_all, n_wanted)
    return np.arange(count, dtype=np.intp) * n_all // max(count, 1)


def _is_plain(ref: TensorRef) -> TypeGuard[FileTensor]:
    """Whether rows of a table can be read from its file one by one, without mapping it."""
    return isinstance(ref, FileTensor) and ref.dtype.bits % 8 == 0


def _read(ref: FileTensor, start: int, count: int) -> Reals:
    n = count * ref.shape[1]
    buffer = memoryview(bytearray(ref.dtype.nbytes(n)))
    ref.file.read_into(ref.offset + ref.dtype.nbytes(start * ref.shape[1]), buffer)
    return np.asarray(decode(buffer, ref.dtype, n), dtype=np.float64).reshape(count, ref.shape[1])


def _row_blocks(ref: TensorRef, n_rows: int) -> Iterator[Reals]:
    """Yield blocks of ``n_rows`` rows, whatever blocks the loader gives; the last may be shorter."""
    width = ref.shape[1]
    if _is_plain(ref):
        for start in range(0, ref.shape[0], n_rows):
            yield _read(ref, start, min(n_rows, ref.shape[0] - start))
        return
    flat: Iterator[NDArray[Any]] = regroup(ref.blocks(_PIECE), n_rows * width, ref.dtype)
    for block in flat:
        yield np.asarray(block, dtype=np.float64).reshape(-1, width)
