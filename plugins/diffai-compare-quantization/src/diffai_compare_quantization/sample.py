"""Some rows of a tensor, always the same ones: enough to tell a scheme and its error."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.plugin import FileTensor, decode, regroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

SAMPLE = 1 << 14
"""Elements that a sample has at least, where the tensor has as many."""
_LEAST_ROWS = 8
_WIDEST = 1 << 16
"""Columns of a row that are looked at."""
_WHOLE = 1 << 22
"""Up to so many elements, a tensor that must be decoded is decoded as a whole; of a larger one, its first rows."""
_PIECE = 1 << 16


class Rows(NamedTuple):
    """Which rows of the matrix view of a tensor are looked at.

    Args:
        indices: Their numbers, increasing.
        columns: Elements of a row.
        taken: Of those, how many from the left are looked at.
        numel: Elements of the tensor.
    """

    indices: tuple[int, ...]
    columns: int
    taken: int
    numel: int

    @property
    def complete(self) -> bool:
        """Whether it is the whole tensor."""
        return len(self.indices) * self.taken == self.numel

    @property
    def n(self) -> int:
        """Elements of the sample."""
        return len(self.indices) * self.taken


def rows_of(*refs: TensorRef, n_elements: int = SAMPLE) -> Rows:
    """Return rows to look at in tensors of one shape: evenly spaced, or the first where a file must be decoded."""
    shape = refs[0].shape
    n_rows = shape[0] if len(shape) > 1 else 1
    columns = math.prod(shape[1:] if len(shape) > 1 else shape)
    numel = n_rows * columns
    if not numel:
        return Rows((), columns, columns, 0)
    taken = min(columns, _WIDEST)
    wanted = n_rows if numel <= n_elements else min(max(n_elements // taken, _LEAST_ROWS), n_rows)
    if numel > _WHOLE and not all(isinstance(ref, FileTensor) for ref in refs):
        return Rows(tuple(range(wanted)), columns, taken, numel)
    return Rows(tuple((2 * i + 1) * n_rows // (2 * wanted) for i in range(wanted)), columns, taken, numel)


def read_rows(ref: TensorRef, rows: Rows) -> NDArray[np.float64]:
    """Return those rows of a tensor, shape ``(len(rows.indices), rows.taken)``.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    if not rows.n:
        return np.empty((0, rows.taken))
    columns = None if rows.taken == rows.columns else np.arange(rows.taken)
    table = replace(ref, shape=(rows.numel // rows.columns, rows.columns))
    return numbers(table.read_rows(rows.indices, columns))


def _file_part(ref: FileTensor, start: int, count: int) -> NDArray[Any]:
    """Read some elements, not through the map: that would keep the pages around them in memory."""
    size = ref.dtype.bits // 8
    return decode(ref.file.read(ref.offset + start * size, count * size), ref.dtype, count)


def numbers(elements: NDArray[Any]) -> NDArray[np.float64]:
    """Return elements as float64, which holds those of all floats and narrow integers exactly."""
    with np.errstate(invalid="ignore"):  # signalling NaN
        return np.asarray(elements).astype(np.float64)


def in_step(old: TensorRef, new: TensorRef, length: int = _PIECE) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the elements of two tensors of one shape in pieces of ``length``, as they are stored.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    yield from zip(*(_pieces(ref, length) for ref in (old, new)), strict=False)


def _pieces(ref: TensorRef, length: int) -> Iterator[NDArray[Any]]:
    """Yield all elements, ``length`` at a time; of a file not through the map, whose pages would stay in memory."""
    if not isinstance(ref, FileTensor) or ref.dtype.bits < 8:  # noqa: PLR2004 - a byte
        yield from regroup(ref.blocks(1 << 20), length, ref.dtype)
        return
    for start in range(0, ref.numel, length):
        yield _file_part(ref, start, min(length, ref.numel - start))
