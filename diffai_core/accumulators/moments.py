"""Mean, spread and size of OLD, NEW and NEW - OLD, and how the sides relate (A2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.accumulators.centred import Centred, centred_sums
from diffai_core.accumulators.fold import NumericFold

if TYPE_CHECKING:
    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Side
    from diffai_core.layout import PairLayout


class Moments(NamedTuple):
    """Centred sums in float64, and what follows from them; ``None`` stands for what does not exist.

    ``old`` and ``new`` cover all finite values of their side. Everything that relates the two sides covers the pairs
    of values that are both finite. A complex element counts as two values.

    Args:
        old: Values of OLD.
        new: Values of NEW.
        delta: NEW - OLD.
        old_paired: Values of OLD where both sides are finite.
        new_paired: Values of NEW where both sides are finite.
    """

    old: Centred
    new: Centred
    delta: Centred
    old_paired: Centred
    new_paired: Centred

    @property
    def n_finite_pairs(self) -> int:
        """Number of pairs of finite values."""
        return self.delta.n

    @property
    def rel_change(self) -> float | None:
        """Size of the change against the size of OLD: ‖D‖/‖A‖; ``None`` if OLD is all zero."""
        return _norm_ratio(self.delta, self.old_paired)

    @property
    def norm_ratio(self) -> float | None:
        """‖B‖/‖A‖; ``None`` if OLD is all zero."""
        return _norm_ratio(self.new_paired, self.old_paired)

    @property
    def one_minus_cos(self) -> float | None:
        """1 - cosine of the angle between the sides, 0 to 2, exact also near 0.

        ``None`` if a side is all zero, or more than 10⁹ times as large as the other.
        """
        return _one_minus_cos(self.rel_change, self.norm_ratio)

    @property
    def centred_one_minus_cos(self) -> float | None:
        """1 - :attr:`centred_cos`, exact also near 0; ``None`` if a side is constant."""
        return _one_minus_cos(_std_ratio(self.delta, self.old_paired), _std_ratio(self.new_paired, self.old_paired))

    @property
    def centred_cos(self) -> float | None:
        """Cosine of the sides less their means (Pearson's r); ``None`` if a side is constant."""
        rest = self.centred_one_minus_cos
        return None if rest is None else 1 - rest


class MomentsFold(NumericFold[Moments, Moments]):
    """Gathers :class:`Moments`."""

    def empty(self, _layout: PairLayout) -> Moments:
        """See :meth:`NumericFold.empty`."""
        return _EMPTY

    def add(self, state: Moments, block: Block) -> Moments:
        """See :meth:`NumericFold.add`."""
        return self.join(state, _moments(block))

    def join(self, left: Moments, right: Moments) -> Moments:
        """See :meth:`NumericFold.join`."""
        if left is _EMPTY:
            return right
        old, new = left.old.plus(right.old), left.new.plus(right.new)
        delta = left.delta.plus(right.delta)
        if _fully_paired(left) and _fully_paired(right):
            return Moments(old, new, delta, old, new)
        old_paired, new_paired = left.old_paired.plus(right.old_paired), left.new_paired.plus(right.new_paired)
        return Moments(old, new, delta, old_paired, new_paired)

    def result(self, state: Moments) -> Moments:
        """See :meth:`NumericFold.result`."""
        return state


_COMPARABLE = 1e4
"""Beyond this ratio of lengths the difference of two vectors tells their angle to less than 11 digits."""

_EMPTY = Moments(Centred(), Centred(), Centred(), Centred(), Centred())


def _moments(block: Block) -> Moments:
    old, new, delta = block.old.centred, block.new.centred, block.delta_centred
    if delta.n == old.n == new.n:
        return Moments(old, new, delta, old, new)
    return Moments(old, new, delta, _paired(block.old, block), _paired(block.new, block))


def _paired(side: Side, block: Block) -> Centred:
    series = side.series_where(block.finite)
    return centred_sums(series, block.workspace) if series else Centred()


def _fully_paired(moments: Moments) -> bool:
    """Whether every finite value stands against a finite one, so that nothing has to be added up twice."""
    return moments.delta.n == moments.old.n == moments.new.n


def _norm_ratio(part: Centred, whole: Centred) -> float | None:
    return _ratio(part.norm_scaled, part.exponent, whole.norm_scaled, whole.exponent)


def _std_ratio(part: Centred, whole: Centred) -> float | None:
    return _ratio(math.sqrt(part.m2_scaled), part.exponent, math.sqrt(whole.m2_scaled), whole.exponent)


def _ratio(part: float, part_exponent: int, whole: float, whole_exponent: int) -> float | None:
    """Return ``part * 2**part_exponent / (whole * 2**whole_exponent)``, or ``None`` where that is no number."""
    if not whole:
        return None
    try:
        return math.ldexp(part / whole, part_exponent - whole_exponent)
    except OverflowError:
        return None


def _one_minus_cos(distance: float | None, ratio: float | None) -> float | None:
    """Return 1 - cosine of two vectors of lengths 1 and ``ratio`` whose difference has length ``distance``.

    The squared distance less that of the lengths: no cancellation however small the angle.
    """
    if distance is None or ratio is None or not 1 / _COMPARABLE < ratio < _COMPARABLE:
        return None
    gap = ratio - 1
    return min(max((distance - gap) * (distance + gap) / (2 * ratio), 0.0), 2.0)
