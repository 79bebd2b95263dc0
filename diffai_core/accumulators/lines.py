"""Sums along the rows and columns of matrices (A9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_core.accumulators.fold import NumericFold
from diffai_core.accumulators.matrix import Elements, Part, largest, parts, sum_of_products, tally
from diffai_core.layout import SMALL_STATE_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.layout import PairLayout

MAX_ROWS = 1 << 20
MAX_COLUMNS = 1 << 18
"""Matrices of more lines get no sums along them, so that memory stays bounded."""

_SAFE = 2.0**500
"""Squares of numbers between this and its inverse, and sums of them, are inside float64."""


@dataclass(frozen=True)
class Lines:
    """Sums along each row, or each column, of the matrix view; the arrays have one entry for each.

    Sums cover the pairs that are both finite. A sum of squares or products is NaN where float64 cannot hold it.

    Args:
        length: Elements in one line.
        old_sq: Σa².
        new_sq: Σb².
        delta_sq: Σ(b - a)².
        dot: Σab.
        old_max_abs: max |a|.
        new_max_abs: max |b|.
        delta_max_abs: max |b - a|; infinite where that is beyond float64.
        n_zero_old: Elements of OLD that are 0.
        n_zero_new: Elements of NEW that are 0.
        n_changed: Elements that differ in value.
    """

    length: int
    old_sq: NDArray[np.float64]
    new_sq: NDArray[np.float64]
    delta_sq: NDArray[np.float64]
    dot: NDArray[np.float64]
    old_max_abs: NDArray[np.float64]
    new_max_abs: NDArray[np.float64]
    delta_max_abs: NDArray[np.float64]
    n_zero_old: NDArray[np.int64]
    n_zero_new: NDArray[np.int64]
    n_changed: NDArray[np.int64]

    @property
    def n_lines(self) -> int:
        """Number of lines."""
        return self.old_sq.size

    @cached_property
    def rel_change(self) -> NDArray[np.float64]:
        """‖d‖/‖a‖ of each line; NaN where OLD is all zero."""
        return _ratio_of_roots(self.delta_sq, self.old_sq)

    @cached_property
    def norm_ratio(self) -> NDArray[np.float64]:
        """‖b‖/‖a‖ of each line; NaN where OLD is all zero."""
        return _ratio_of_roots(self.new_sq, self.old_sq)

    @cached_property
    def one_minus_cos(self) -> NDArray[np.float64]:
        """1 - cosine of each line, exact also near 0; NaN where a side is all zero."""
        old, new = np.sqrt(self.old_sq), np.sqrt(self.new_sq)
        similar = (new <= 2 * old) & (old <= 2 * new) & (old > 0)
        ratio, change = np.where(similar, self.norm_ratio, 1.0), np.where(similar, self.rel_change, 0.0)
        near = (change - (ratio - 1)) * (change + (ratio - 1)) / (2 * ratio)
        far = np.full(old.shape, np.nan)
        np.divide(self.dot, old, out=far, where=(old > 0) & (new > 0))
        np.divide(far, new, out=far, where=(old > 0) & (new > 0))
        return np.asarray(np.clip(np.where(similar, near, 1 - far), 0, 2))

    @property
    def old_all_zero(self) -> NDArray[np.bool_]:
        """Which lines of OLD are zero throughout."""
        return np.equal(self.n_zero_old, self.length)

    @property
    def new_all_zero(self) -> NDArray[np.bool_]:
        """Which lines of NEW are zero throughout."""
        return np.equal(self.n_zero_new, self.length)


class LineSums(NamedTuple):
    """Sums along consecutive lines; each array has one row for each quantity and one column for each line.

    Args:
        first: Index of the first line.
        sums: Σa², Σb², Σd², Σab.
        peaks: max |a|, max |b|, max |d|.
        tallies: Zeros of OLD, zeros of NEW, changed elements.
    """

    first: int
    sums: NDArray[np.float64]
    peaks: NDArray[np.float64]
    tallies: NDArray[np.int64]

    @classmethod
    def of(cls, elements: Elements, part: Part, components: int, axis: int) -> LineSums:
        """Sum up a part of a block along rows (``axis`` 1) or columns (0)."""
        old, new, delta = (part.of(values, components) for values in (elements.old, elements.new, elements.delta))
        pairs = ((old, old), (new, new), (delta, delta), (old, new))
        masks = (part.of(mask) for mask in (elements.old_zero, elements.new_zero, elements.changed))
        return cls(
            part.row if axis else part.column,
            np.stack([sum_of_products(left, right, axis) for left, right in pairs]),
            np.stack([largest(values, axis) for values in (old, new, delta)]),
            np.stack([tally(mask, axis) for mask in masks]),
        )

    @classmethod
    def zeros(cls, first: int, n_lines: int, components: int = 1) -> LineSums:
        """Return the sums of nothing along ``n_lines`` lines."""
        width = n_lines * components
        return cls(first, np.zeros((4, width)), np.zeros((3, width)), np.zeros((3, n_lines), np.int64))

    @property
    def stop(self) -> int:
        """Index after the last line."""
        return self.first + int(self.tallies.shape[1])

    def take_up(self, other: LineSums) -> None:
        """Add the sums of ``other``, whose lines are among these, in place."""
        begin, n_lines = other.first - self.first, other.tallies.shape[1]
        components = other.sums.shape[1] // n_lines
        values = slice(begin * components, (begin + n_lines) * components)
        with np.errstate(over="ignore", invalid="ignore"):  # the result says NaN for sums beyond float64
            self.sums[:, values] += other.sums
        np.maximum(self.peaks[:, values], other.peaks, out=self.peaks[:, values])
        self.tallies[:, begin : begin + n_lines] += other.tallies

    def result(self, length: int) -> Lines:
        """Return the result; the two values of complex elements are brought together."""
        n_lines = self.tallies.shape[1]
        sums, peaks = self.sums, self.peaks
        if sums.shape[1] > n_lines:
            with np.errstate(over="ignore", invalid="ignore"):
                sums = sums.reshape(4, n_lines, -1).sum(axis=2)
            peaks = peaks.reshape(3, n_lines, -1).max(axis=2)
        lost = (peaks > _SAFE) | ((peaks > 0) & (peaks < 1 / _SAFE))
        sums[:3][lost] = np.nan
        sums[3][lost[0] | lost[1]] = np.nan
        return Lines(length, *sums, *peaks, *self.tallies)


@dataclass
class LinesState:
    """Sums along lines: of rows, in pieces of consecutive ones; of columns, one record of all."""

    layout: PairLayout
    pieces: list[LineSums] = field(default_factory=list)


class RowsFold(NumericFold[LinesState, Lines]):
    """Sums along rows; for two dimensions and more and up to :data:`MAX_ROWS` rows."""

    def applies(self, layout: PairLayout) -> bool:
        """Whether there is a matrix with not too many rows."""
        return layout.measurable and len(layout.shape) > 1 and layout.rows <= MAX_ROWS

    def most_bytes(self, layout: PairLayout, n_elements: int) -> int:
        """See :meth:`NumericFold.most_bytes`."""
        touched = n_elements // max(layout.columns, 1) + 2
        return _bytes_of(min(touched, layout.rows))

    def empty(self, layout: PairLayout) -> LinesState:
        """See :meth:`NumericFold.empty`."""
        return LinesState(layout)

    def add(self, state: LinesState, block: Block) -> LinesState:
        """See :meth:`NumericFold.add`."""
        elements = Elements.of(block)
        state.pieces += [LineSums.of(elements, part, block.layout.components, 1) for part in parts(block)]
        return state

    def join(self, left: LinesState, right: LinesState) -> LinesState:
        """See :meth:`NumericFold.join`."""
        if not left.pieces or not right.pieces:
            return left if left.pieces else right
        left.pieces = [_together(left.pieces, 0, left.layout.rows)]
        left.pieces[0].take_up(_together(right.pieces, right.pieces[0].first, right.pieces[-1].stop))
        return left

    def result(self, state: LinesState) -> Lines:
        """See :meth:`NumericFold.result`."""
        return _together(state.pieces, 0, state.layout.rows).result(state.layout.columns)


class ColumnsFold(NumericFold[LinesState, Lines]):
    """Sums along columns; for two dimensions and more and up to :data:`MAX_COLUMNS` columns."""

    def applies(self, layout: PairLayout) -> bool:
        """Whether there is a matrix with not too many columns."""
        return layout.measurable and len(layout.shape) > 1 and layout.columns <= MAX_COLUMNS

    def most_bytes(self, layout: PairLayout, n_elements: int) -> int:  # noqa: ARG002 - each segment may touch all
        """See :meth:`NumericFold.most_bytes`."""
        return _bytes_of(layout.columns, layout.components)

    def empty(self, layout: PairLayout) -> LinesState:
        """See :meth:`NumericFold.empty`."""
        return LinesState(layout)

    def add(self, state: LinesState, block: Block) -> LinesState:
        """See :meth:`NumericFold.add`."""
        elements = Elements.of(block)
        total = _total(state)
        for part in parts(block):
            total.take_up(LineSums.of(elements, part, block.layout.components, 0))
        return state

    def join(self, left: LinesState, right: LinesState) -> LinesState:
        """See :meth:`NumericFold.join`."""
        if not left.pieces or not right.pieces:
            return left if left.pieces else right
        left.pieces[0].take_up(right.pieces[0])
        return left

    def result(self, state: LinesState) -> Lines:
        """See :meth:`NumericFold.result`."""
        return _total(state).result(state.layout.rows)


def _bytes_of(n_lines: int, components: int = 1) -> int:
    """Return what sums along so many lines take, and the masks that finish them."""
    return n_lines * (7 * 8 * components + 3 * 8 + 8) + SMALL_STATE_BYTES


def _together(pieces: list[LineSums], first: int, stop: int) -> LineSums:
    """Return one record of the rows from ``first`` to ``stop``."""
    if len(pieces) == 1 and (pieces[0].first, pieces[0].stop) == (first, stop):
        return pieces[0]
    total = LineSums.zeros(first, stop - first)
    for piece in pieces:
        total.take_up(piece)
    return total


def _total(state: LinesState) -> LineSums:
    """Return the sums of all columns, which are made when they are first needed."""
    if not state.pieces:
        state.pieces.append(LineSums.zeros(0, state.layout.columns, state.layout.components))
    return state.pieces[0]


def _ratio_of_roots(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = np.full(whole.shape, np.nan)
    np.divide(np.sqrt(part), np.sqrt(whole), out=ratio, where=whole > 0)
    return ratio
