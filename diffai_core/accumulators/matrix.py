"""A leaf as parts of a matrix, and reductions along its lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Side

_NARROW = 16
"""Matrices of up to so many columns are reduced column by column: NumPy is slow along very short lines."""


class Part(NamedTuple):
    """Whole rows of the matrix view, or a piece of one row.

    Args:
        row: First row.
        column: First column; 0 for whole rows.
        n_rows: Number of rows.
        n_columns: Number of columns.
        begin: Index of the first element in the block.
    """

    row: int
    column: int
    n_rows: int
    n_columns: int
    begin: int

    def of(self, array: NDArray[Any], components: int = 1) -> NDArray[Any]:
        """Return this part of a 1-D array of the block, shape ``(n_rows, n_columns * components)``."""
        width = self.n_columns * components
        begin = self.begin * components
        return array[begin : begin + self.n_rows * width].reshape(self.n_rows, width)


def parts(block: Block) -> Iterator[Part]:
    """Yield the parts of the matrix view that a block covers: the end of a row, whole rows, the start of a row."""
    columns, stop = block.layout.columns, block.start + block.count
    at = block.start
    if at % columns:
        length = min(columns - at % columns, block.count)
        yield Part(at // columns, at % columns, 1, length, 0)
        at += length
    n_rows = (stop - at) // columns
    if n_rows:
        yield Part(at // columns, 0, n_rows, columns, at - block.start)
        at += n_rows * columns
    if at < stop:
        yield Part(at // columns, 0, 1, stop - at, at - block.start)


@dataclass(frozen=True)
class Elements:
    """What is summed up along lines.

    Args:
        old: float64 values of OLD, 0 where a side is not finite, shape ``(count * components,)``.
        new: The same of NEW.
        delta: NEW - OLD; infinite where that is beyond float64.
        old_zero: Which elements of OLD are 0, shape ``(count,)``.
        new_zero: Which elements of NEW are 0.
        changed: Which elements differ in value.
    """

    old: NDArray[np.float64]
    new: NDArray[np.float64]
    delta: NDArray[np.float64]
    old_zero: NDArray[np.bool_]
    new_zero: NDArray[np.bool_]
    changed: NDArray[np.bool_]

    @classmethod
    def of(cls, block: Block) -> Elements:
        """Return the elements of ``block``."""
        old_zero = zero_elements(block.old, block)
        new_zero = old_zero if block.same else zero_elements(block.new, block)
        old, new = block.old.values, block.new.values
        if block.finite is not None:
            old, new = (np.where(block.finite, values, 0) for values in (old, new))
        return cls(old, new, _delta(block), old_zero, new_zero, block.changed)


def zero_elements(side: Side, block: Block) -> NDArray[np.bool_]:
    """Return which elements of a side are 0, both parts of a complex one, shape ``(count,)``."""
    zeros: NDArray[np.bool_] = side.numbers == 0
    return zeros if block.layout.components == 1 else zeros[0::2] & zeros[1::2]


def _delta(block: Block) -> NDArray[np.float64]:
    if block.same:
        return np.zeros(block.count * block.layout.components)
    delta = block.delta
    if block.delta_exponent:
        with np.errstate(over="ignore"):
            delta = np.ldexp(delta, block.delta_exponent)
    if block.finite is None:
        return delta
    full = np.zeros(block.finite.size)
    full[block.finite] = delta
    return full


def sum_of_products(left: NDArray[np.float64], right: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the sums of ``left * right`` along rows (``axis`` 1) or columns (0); infinite where they overflow."""
    if left.shape[1] > _NARROW:
        return np.asarray(np.einsum("ij,ij->i" if axis else "ij,ij->j", left, right))
    with np.errstate(over="ignore", invalid="ignore"):
        return reduced(np.add, left * right, axis)


def largest(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the greatest magnitudes along rows (``axis`` 1) or columns (0)."""
    return reduced(np.maximum, np.abs(values), axis)


def tally(mask: NDArray[np.bool_], axis: int) -> NDArray[np.int64]:
    """Count along rows (``axis`` 1) or columns (0)."""
    return reduced(np.add, mask.view(np.uint8), axis, np.int64)


def reduced(ufunc: np.ufunc, matrix: NDArray[Any], axis: int, dtype: Any = None) -> NDArray[Any]:
    """Return ``ufunc.reduce(matrix, axis)``, fast for narrow matrices too."""
    n_columns = matrix.shape[1]
    if n_columns > _NARROW:
        return np.asarray(ufunc.reduce(matrix, axis=axis, dtype=dtype))
    if axis == 0:
        return np.array([ufunc.reduce(matrix[:, j], dtype=dtype) for j in range(n_columns)])
    total = matrix[:, 0].astype(dtype or matrix.dtype)
    for j in range(1, n_columns):
        ufunc(total, matrix[:, j], out=total)
    return total
