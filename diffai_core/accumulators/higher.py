"""Third and fourth centred moments of OLD, NEW and NEW - OLD (A2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_core.accumulators.centred import Centred, common_exponent, scaled_down, unscaled
from diffai_core.accumulators.fold import NumericFold
from diffai_core.accumulators.sums import dot

if TYPE_CHECKING:
    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.centred import Series
    from diffai_core.accumulators.workspace import Workspace
    from diffai_core.layout import PairLayout


class Higher(NamedTuple):
    """Centred sums up to the fourth power of the finite numbers of a series.

    Args:
        centred: Count, mean and centred sum of squares.
        m3_scaled: Sum of cubed distances from the mean, in units of ``8**centred.exponent``.
        m4_scaled: Sum of their fourth powers, in units of ``16**centred.exponent``.
    """

    centred: Centred = Centred()
    m3_scaled: float = 0.0
    m4_scaled: float = 0.0

    @property
    def m3(self) -> float | None:
        """Sum of cubed distances; ``None`` without numbers or where float64 cannot hold it."""
        return unscaled(self.m3_scaled, 3 * self.centred.exponent) if self.centred.n else None

    @property
    def m4(self) -> float | None:
        """Sum of the fourth powers of the distances; ``None`` without numbers or where float64 cannot hold it."""
        return unscaled(self.m4_scaled, 4 * self.centred.exponent) if self.centred.n else None

    @property
    def skew(self) -> float | None:
        """Population skewness g1 (0 for a symmetric series); ``None`` if constant."""
        m2 = self.centred.m2_scaled
        return math.sqrt(self.centred.n / m2) * (self.m3_scaled / m2) if m2 else None

    @property
    def ex_kurtosis(self) -> float | None:
        """Excess kurtosis g2 (0 for a normal, -1.2 for a uniform series); ``None`` if constant."""
        m2 = self.centred.m2_scaled
        return self.centred.n / m2 * (self.m4_scaled / m2) - 3 if m2 else None

    def plus(self, later: Higher) -> Higher:
        """Return the sums of both series (Pébay 2008)."""
        if not self.centred.n or not later.centred.n:
            return later if not self.centred.n else self
        left, right = (h.at(common_exponent(self.centred, later.centred)) for h in (self, later))
        a, b = left.centred, right.centred
        n = a.n + b.n
        gap = b.offset - a.offset + float(b.pivot - a.pivot)
        p, q = a.n / n, b.n / n
        m3 = left.m3_scaled + right.m3_scaled
        m3 += gap**3 * a.n * q * (p - q) + 3 * gap * (p * b.m2_scaled - q * a.m2_scaled)
        m4 = left.m4_scaled + right.m4_scaled
        m4 += gap**4 * a.n * q * (p * p - p * q + q * q) + 6 * gap**2 * (p * p * b.m2_scaled + q * q * a.m2_scaled)
        m4 += 4 * gap * (p * right.m3_scaled - q * left.m3_scaled)
        return Higher(a.plus(b), m3, m4)

    def at(self, exponent: int) -> Higher:
        """Return the same sums in units of ``2**exponent``."""
        shift = self.centred.exponent - exponent
        if not shift:
            return self
        return Higher(
            self.centred.at(exponent), math.ldexp(self.m3_scaled, 3 * shift), math.ldexp(self.m4_scaled, 4 * shift)
        )


class HigherMoments(NamedTuple):
    """Sums up to the fourth power; a complex element counts as two values.

    Args:
        old: Finite values of OLD.
        new: Finite values of NEW.
        delta: NEW - OLD where both sides are finite.
    """

    old: Higher
    new: Higher
    delta: Higher


class HigherMomentsFold(NumericFold[HigherMoments, HigherMoments]):
    """Gathers :class:`HigherMoments`."""

    def empty(self, _layout: PairLayout) -> HigherMoments:
        """See :meth:`NumericFold.empty`."""
        return HigherMoments(Higher(), Higher(), Higher())

    def add(self, state: HigherMoments, block: Block) -> HigherMoments:
        """See :meth:`NumericFold.add`."""
        old = _higher(block.old.series, block.old.centred, block.workspace)
        new = old if block.same else _higher(block.new.series, block.new.centred, block.workspace)
        delta = _higher(block.delta_series, block.delta_centred, block.workspace)
        return self.join(state, HigherMoments(old, new, delta))

    def join(self, left: HigherMoments, right: HigherMoments) -> HigherMoments:
        """See :meth:`NumericFold.join`."""
        return HigherMoments(*(a.plus(b) for a, b in zip(left, right, strict=True)))

    def result(self, state: HigherMoments) -> HigherMoments:
        """See :meth:`NumericFold.result`."""
        return state


def _higher(series: Series | None, centred: Centred, workspace: Workspace) -> Higher:
    if series is None or not centred.m2_scaled:
        return Higher(centred)
    values = scaled_down(series.values, centred.exponent - series.exponent, workspace)
    distances = np.subtract(values, centred.offset, out=workspace.float64("distances", values.size))
    squares = np.multiply(distances, distances, out=workspace.float64("squares", values.size))
    m3, m4 = (dot(squares, factor) for factor in (distances, squares))
    return Higher(centred, m3, m4)
