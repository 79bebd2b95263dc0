"""Zeros, NaN, Inf and other special values on each side (A1)."""

from __future__ import annotations

from functools import cache
from operator import add
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_core.accumulators.fold import NumericFold

if TYPE_CHECKING:
    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Side
    from diffai_core.accumulators.workspace import Workspace
    from diffai_core.dtypes import DType
    from diffai_core.layout import PairLayout

_FLOAT16_OVERFLOW = 65520.0
"""Least magnitude that rounds to infinity in float16."""


class ValueCounts(NamedTuple):
    """Special values of one side; a complex element counts as two values.

    Args:
        n: All values.
        n_nan: NaN.
        n_pos_inf: Inf.
        n_neg_inf: -Inf.
        n_zero: Zeros of either sign.
        n_neg_zero: Negative zeros (among ``n_zero``).
        n_subnormal: Not zero and smaller than the smallest normal number of the dtype.
        n_float16_overflow: Finite, and Inf when cast to float16; 0 for integers.
    """

    n: int = 0
    n_nan: int = 0
    n_pos_inf: int = 0
    n_neg_inf: int = 0
    n_zero: int = 0
    n_neg_zero: int = 0
    n_subnormal: int = 0
    n_float16_overflow: int = 0

    @property
    def n_finite(self) -> int:
        """Values that are neither NaN nor Inf."""
        return self.n - self.n_nan - self.n_pos_inf - self.n_neg_inf

    @property
    def zero_share(self) -> float | None:
        """``n_zero / n``; ``None`` without values."""
        return self.n_zero / self.n if self.n else None


class SideCounts(NamedTuple):
    """Special values of both sides.

    Args:
        old: In OLD.
        new: In NEW.
    """

    old: ValueCounts
    new: ValueCounts


class CountsFold(NumericFold[SideCounts, SideCounts]):
    """Gathers :class:`SideCounts`."""

    def empty(self, _layout: PairLayout) -> SideCounts:
        """See :meth:`NumericFold.empty`."""
        return SideCounts(ValueCounts(), ValueCounts())

    def add(self, state: SideCounts, block: Block) -> SideCounts:
        """See :meth:`NumericFold.add`."""
        old = _counts(block.old, block.workspace)
        return self.join(state, SideCounts(old, old if block.same else _counts(block.new, block.workspace)))

    def join(self, left: SideCounts, right: SideCounts) -> SideCounts:
        """See :meth:`NumericFold.join`."""
        return SideCounts(ValueCounts(*map(add, left.old, right.old)), ValueCounts(*map(add, left.new, right.new)))

    def result(self, state: SideCounts) -> SideCounts:
        """See :meth:`NumericFold.result`."""
        return state


def _counts(side: Side, workspace: Workspace) -> ValueCounts:
    numbers = side.numbers
    zeros = np.equal(numbers, 0, out=workspace.mask("zeros", numbers.size))
    n_zero = int(np.count_nonzero(zeros))
    if side.dtype.kind not in ("float", "complex"):
        return ValueCounts(numbers.size, n_zero=n_zero)
    n_neg_zero = int(np.count_nonzero(np.signbit(numbers) & zeros)) if n_zero else 0
    n_nan = n_pos_inf = n_neg_inf = 0
    if side.finite is not None:
        n_nan = int(np.count_nonzero(np.isnan(numbers)))
        n_pos_inf, n_neg_inf = (int(np.count_nonzero(numbers == inf)) for inf in (np.inf, -np.inf))
    overflow = _count_float16_overflow(side) if side.largest >= _FLOAT16_OVERFLOW else 0
    n_subnormal = _count_below_normal(side, workspace) - n_zero
    return ValueCounts(numbers.size, n_nan, n_pos_inf, n_neg_inf, n_zero, n_neg_zero, n_subnormal, overflow)


def _count_below_normal(side: Side, workspace: Workspace) -> int:
    """Count values smaller than the smallest normal number, zeros included."""
    numbers, limit = side.numbers, smallest_normal(side.dtype)
    below = np.less(numbers, limit, out=workspace.mask("below", numbers.size))
    above = np.greater(numbers, -limit, out=workspace.mask("above", numbers.size))
    return int(np.count_nonzero(np.logical_and(below, above, out=below)))


def _count_float16_overflow(side: Side) -> int:
    outside = (side.numbers >= _FLOAT16_OVERFLOW) | (side.numbers <= -_FLOAT16_OVERFLOW)
    return int(np.count_nonzero(outside if side.finite is None else outside & side.finite))


@cache
def smallest_normal(dtype: DType) -> float:
    """Return the smallest positive normal number of a float or complex ``dtype``."""
    if dtype.kind == "complex" or dtype.name in ("float16", "float32", "float64"):
        return float(np.finfo(dtype.numpy).smallest_normal)
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype.numpy).smallest_normal)  # type: ignore[no-untyped-call]
