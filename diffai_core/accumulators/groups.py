"""Ranges, distinct values and grid fit of quantisation groups (A10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.accumulators.fold import NumericFold
from diffai_core.accumulators.matrix import tally
from diffai_core.accumulators.sums import dot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Side
    from diffai_core.layout import PairLayout

GROUP_SIZES = (32, 64, 128)
_LEVELS = 127
"""Steps of an 8-bit grid on either side of 0."""

_SAFE = 2.0**500
_UNITS = 1 << 16
"""Units of one step: places on a grid are whole numbers of units, so that sums of them are exact in any order."""

_NO_STEP = {np.dtype(np.float32): 2.0**-103, np.dtype(np.float64): 1e-300}
"""Groups of no larger magnitude have no grid: the number of units in 1 would be beyond the type."""

_PIECE = 8192
"""Values taken up at a time; sums of their distances from a grid, in units, are inside int32."""


class GroupSums(NamedTuple):
    """Sums over the groups of one size on one side; groups that hold NaN or Inf are left out.

    Args:
        n_groups: Number of groups.
        sum_absmax_sq: Σ max|w|², the squared scale of symmetric quantisation; ``None`` where float64 cannot hold it.
        sum_range_sq: Σ (max w - min w)², the squared scale of asymmetric quantisation; ``None`` where float64
            cannot hold it.
        max_distinct: Most distinct values in a group: at most ``2**bits`` where the values lie on a grid.
        sum_distinct: Sum of the numbers of distinct values.
        sum_residual: Sum of the distances from the best 8-bit grid of each group, in steps, each to 2**-16.
        n_residual: Number of values in ``sum_residual``: those in groups that are not all zero, nor below 2**-103
            (1e-300 for types that float32 does not hold).
    """

    n_groups: int = 0
    sum_absmax_sq: float | None = 0.0
    sum_range_sq: float | None = 0.0
    max_distinct: int = 0
    sum_distinct: int = 0
    sum_residual: float = 0.0
    n_residual: int = 0

    @property
    def mean_distinct(self) -> float | None:
        """Mean number of distinct values in a group; ``None`` without groups."""
        return self.sum_distinct / self.n_groups if self.n_groups else None

    @property
    def lattice_residual(self) -> float | None:
        """Mean distance from an 8-bit grid: 0.25 for values on none, 0 for int8; ``None`` if all are zero."""
        return self.sum_residual / self.n_residual if self.n_residual else None

    def plus(self, later: GroupSums) -> GroupSums:
        """Return the sums of both."""
        return GroupSums(
            self.n_groups + later.n_groups,
            _plus(self.sum_absmax_sq, later.sum_absmax_sq),
            _plus(self.sum_range_sq, later.sum_range_sq),
            max(self.max_distinct, later.max_distinct),
            self.sum_distinct + later.sum_distinct,
            self.sum_residual + later.sum_residual,
            self.n_residual + later.n_residual,
        )


class SideGroups(NamedTuple):
    """Group sums of both sides.

    Args:
        old: Of OLD.
        new: Of NEW.
    """

    old: GroupSums
    new: GroupSums


Groups = dict[int, SideGroups]
"""By group size, for the sizes that divide the rows of the matrix view."""


class GroupsFold(NumericFold[Groups, "Mapping[int, SideGroups]"]):
    """Gathers :data:`Groups`, over groups of :data:`GROUP_SIZES` consecutive elements of a row."""

    def applies(self, layout: PairLayout) -> bool:
        """Whether rows can be cut into groups."""
        return layout.measurable and layout.components == 1 and bool(_sizes(layout))

    def empty(self, layout: PairLayout) -> Groups:
        """See :meth:`NumericFold.empty`."""
        return {size: SideGroups(GroupSums(), GroupSums()) for size in _sizes(layout)}

    def add(self, state: Groups, block: Block) -> Groups:
        """See :meth:`NumericFold.add`."""
        found = {}
        for size in state:
            old = _group_sums(block.old, size)
            found[size] = SideGroups(old, old if block.same else _group_sums(block.new, size))
        return self.join(state, found)

    def join(self, left: Groups, right: Groups) -> Groups:
        """See :meth:`NumericFold.join`."""
        return {
            size: SideGroups(sums.old.plus(right[size].old), sums.new.plus(right[size].new))
            for size, sums in left.items()
        }

    def result(self, state: Groups) -> Mapping[int, SideGroups]:
        """See :meth:`NumericFold.result`."""
        return state


def _sizes(layout: PairLayout) -> tuple[int, ...]:
    return tuple(size for size in GROUP_SIZES if layout.columns and layout.columns % size == 0)


def _group_sums(side: Side, size: int) -> GroupSums:
    """Sum up the groups of a block; the canonical leaves cut no group."""
    values: NDArray[Any]
    values, numbers = side.values.reshape(-1, size), side.numbers.reshape(-1, size)
    if side.finite is not None:
        kept = side.finite.reshape(-1, size).all(axis=1)
        values, numbers = values[kept], numbers[kept]
    if side.dtype.bits < 32 or side.dtype.name == "float32":  # noqa: PLR2004 - float32 holds integers of 16 bits
        values = values.astype(np.float32)
    total, step = GroupSums(), _PIECE // size
    for start in range(0, len(values), step):
        total = total.plus(_sums_of_piece(values[start : start + step], numbers[start : start + step]))
    return total


def _sums_of_piece(values: NDArray[Any], numbers: NDArray[Any]) -> GroupSums:
    """Sum up groups given as rows; few enough for their intermediates to stay in the cache."""
    ordered = np.sort(numbers, axis=1)
    low, high = (ordered[:, end].astype(np.float64) for end in (0, -1))
    absmax = np.maximum(high, -low)
    with np.errstate(over="ignore"):
        span = high - low
    distinct = tally(ordered[:, 1:] != ordered[:, :-1], 1) + 1
    scaled = absmax > _NO_STEP[values.dtype]
    residual = _residual(values if scaled.all() else values[scaled], absmax[scaled])
    return GroupSums(
        len(values),
        _sum_of_squares(absmax),
        _sum_of_squares(span),
        int(distinct.max()),
        int(distinct.sum()),
        residual,
        int(np.count_nonzero(scaled)) * values.shape[1],
    )


def _plus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


def _sum_of_squares(sizes: NDArray[np.float64]) -> float | None:
    if ((sizes > _SAFE) | ((sizes > 0) & (sizes < 1 / _SAFE))).any():
        return None
    return dot(sizes, sizes)


def _residual(groups: NDArray[Any], absmax: NDArray[np.float64]) -> float:
    """Return the summed distances from an 8-bit grid, in steps; its step is fitted by least squares to each row."""
    scale = (_LEVELS * _UNITS / absmax).astype(groups.dtype)
    levels, rest = _levels_and_rest(groups, scale)
    squares = np.einsum("ij,ij->i", levels, levels) * float(_UNITS)
    factor = squares / (squares + np.einsum("ij,ij->i", levels, rest))
    rest = _levels_and_rest(groups, (scale * factor).astype(groups.dtype))[1]
    return int(np.abs(rest, out=rest).sum(dtype=np.int32)) / _UNITS


def _levels_and_rest(groups: NDArray[Any], scale: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the levels next to the scaled values, and how far these lie above them, in units."""
    scaled = groups * scale[:, None]
    places = np.rint(scaled, out=scaled).astype(np.int32)
    levels = (places + _UNITS // 2) >> 16
    places -= levels << 16
    return levels, places
