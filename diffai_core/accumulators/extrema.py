"""Least and greatest values, and the largest change with its place (A4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.accumulators.fold import NumericFold

if TYPE_CHECKING:
    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Bounds
    from diffai_core.layout import PairLayout


class Extrema(NamedTuple):
    """Extremes of the finite values; a complex element counts as two values.

    Args:
        old_min: Least value of OLD, ``int`` for integers; ``None`` if no value is finite.
        old_max: Greatest value of OLD.
        new_min: Least value of NEW.
        new_max: Greatest value of NEW.
        max_abs_diff: Largest ``|new - old|`` where both are finite; ``None`` if there is no such pair or the
            difference is beyond float64.
        max_abs_diff_index: Where, as index into the flattened tensor: the first such place; ``None`` without a pair.
        max_diff: The difference there, with its sign.
    """

    old_min: float | None
    old_max: float | None
    new_min: float | None
    new_max: float | None
    max_abs_diff: float | None
    max_abs_diff_index: int | None
    max_diff: float | None


class ExtremaState(NamedTuple):
    """``peak`` is the difference of largest magnitude; an exact ``int`` if it is beyond float64."""

    old: Bounds | None = None
    new: Bounds | None = None
    peak: float = 0
    place: int | None = None


class ExtremaFold(NumericFold[ExtremaState, Extrema]):
    """Gathers :class:`Extrema`."""

    def empty(self, _layout: PairLayout) -> ExtremaState:
        """See :meth:`NumericFold.empty`."""
        return ExtremaState()

    def add(self, state: ExtremaState, block: Block) -> ExtremaState:
        """See :meth:`NumericFold.add`."""
        peak, place = _peak(block, -1 if state.place is None else abs(state.peak))
        if place is None:
            peak, place = state.peak, state.place
        return ExtremaState(_hull(state.old, block.old.bounds), _hull(state.new, block.new.bounds), peak, place)

    def join(self, left: ExtremaState, right: ExtremaState) -> ExtremaState:
        """See :meth:`NumericFold.join`."""
        later = right.place is not None and (left.place is None or abs(right.peak) > abs(left.peak))
        larger = right if later else left
        return ExtremaState(_hull(left.old, right.old), _hull(left.new, right.new), larger.peak, larger.place)

    def result(self, state: ExtremaState) -> Extrema:
        """See :meth:`NumericFold.result`."""
        old_min, old_max = state.old or (None, None)
        new_min, new_max = state.new or (None, None)
        known = state.place is not None and isinstance(state.peak, float)
        size, signed = (abs(state.peak), state.peak) if known else (None, None)
        return Extrema(old_min, old_max, new_min, new_max, size, state.place, signed)


def _hull(left: Bounds | None, right: Bounds | None) -> Bounds | None:
    if left is None or right is None:
        return right if left is None else left
    return min(left[0], right[0]), max(left[1], right[1])


def _peak(block: Block, least: float) -> tuple[float, int | None]:
    """Return the difference of largest magnitude and the index of its element, if that is above ``least``."""
    if not block.n_finite:
        return 0.0, None
    low, high = block.delta_bounds
    size = _exact(max(high, -low), block.delta_exponent)
    if size <= least:
        return 0.0, None
    place = _place_of_peak(block, low, high)
    peak = float(block.delta[place]) if low or high else 0.0
    if block.finite is not None:
        place = int(block.finite.nonzero()[0][place])
    return _exact(peak, block.delta_exponent), block.start + place // block.layout.components


def _place_of_peak(block: Block, low: float, high: float) -> int:
    """Return where in the finite pairs the largest magnitude is first reached."""
    if low == high:
        return 0
    if high == -low:
        return min(int(block.delta.argmax()), int(block.delta.argmin()))
    return int(block.delta.argmax() if high > -low else block.delta.argmin())


def _exact(difference: float, exponent: int) -> float:
    """Return ``difference * 2**exponent``, as an ``int`` if it is beyond float64."""
    if not exponent:
        return difference
    try:
        return math.ldexp(difference, exponent)
    except OverflowError:
        return int(difference) << exponent
