"""Slopes of series whose neighbours are alike, such as losses over steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_lib_statistics.arrays import check_level, finite_series

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_LEAST = 8
_FIXED_B = (1.96, 2.9694, 0.4160, -0.5324)
_NORMAL_975 = 1.959963984540054
_STRONGEST = 0.97


class SeriesSlope(NamedTuple):
    """Least-squares slope of a series with an interval that holds although neighbours are alike.

    Args:
        slope: Units of y per unit of x.
        low: Lower limit of the confidence interval.
        high: Upper limit.
        standard_error: Newey-West standard error of the slope.
        lags: Neighbours that were taken into account.
        autocorrelation: Of the residuals, at a distance of one.
        n: Number of values.
    """

    slope: float
    low: float
    high: float
    standard_error: float
    lags: int
    autocorrelation: float
    n: int

    @property
    def is_flat(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high


def slope_interval(
    y: ArrayLike, x: ArrayLike | None = None, level: float = 0.95, lags: int | None = None
) -> SeriesSlope:
    """Return the slope of ``y`` over ``x`` with Newey-West standard error (Bartlett weights).

    Lags after Andrews (1991) from the residuals' autocorrelation, unless given. The interval takes Student's t widened
    by the fixed-b factor of Kiefer and Vogelsang (2005), because many lags in a short series make the standard error
    itself uncertain.

    Args:
        y: Shape ``(n,)``, in order.
        x: Shape ``(n,)``: steps, increasing; 0, 1, 2 … if not given.
        level: Confidence level.
        lags: Number of lags.

    Raises:
        ValueError: If there are fewer than 8 values, all x are equal, a number is not finite or the lengths differ.
    """
    from scipy.special import stdtrit

    check_level(level)
    values = finite_series(y, "y", _LEAST)
    steps = np.arange(len(values), dtype=np.float64) if x is None else finite_series(x, "x", _LEAST)
    if len(steps) != len(values):
        raise ValueError(f"{len(steps)} x for {len(values)} y")
    if np.ptp(steps) == 0:
        raise ValueError("all x are equal: a slope does not exist")
    n, centred = len(values), steps - steps.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (values - values.mean()) / spread)
    residuals = values - values.mean() - slope * centred
    rho = _autocorrelation(residuals)
    used = min(_andrews_lags(rho, n) if lags is None else lags, n - 1)
    error = math.sqrt(max(_long_run(centred * residuals, used) * n / (n - 2), 0.0)) / spread
    quantile = 0.5 + level / 2
    robust = error * float(stdtrit(n - 2, quantile)) * _fixed_b((used + 1) / n)
    worth = max(n * (1 - rho) / (1 + rho), 3.0) if rho > 0 else float(n)
    simple = math.sqrt(float(residuals @ residuals) / (n - 2) / spread * n / worth) * float(
        stdtrit(worth - 2, quantile)
    )
    reach = max(robust, simple) if lags is None else robust
    return SeriesSlope(slope, slope - reach, slope + reach, error, used, rho, n)


def _autocorrelation(residuals: NDArray[np.float64]) -> float:
    """Return the correlation of neighbours, corrected for what fitting a line takes from it in a short series."""
    energy = float(residuals @ residuals)
    if not energy:
        return 0.0
    found = float(residuals[1:] @ residuals[:-1]) / energy
    n = len(residuals)
    return min(found + (2 + 4 * max(found, 0.0)) / n, _STRONGEST)


def _andrews_lags(rho: float, n: int) -> int:
    if rho <= 0:
        return 1
    alpha = 4 * rho**2 / (1 - rho**2) ** 2
    found: int = max(math.ceil(1.1447 * (alpha * n) ** (1 / 3)), 1)
    return found


def _long_run(scores: NDArray[np.float64], lags: int) -> float:
    total = float(scores @ scores)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(scores[lag:] @ scores[:-lag])
    return total


def _fixed_b(b: float) -> float:
    """Return how much wider than normal the interval is when the share ``b`` of the series are lags."""
    a0, a1, a2, a3 = _FIXED_B
    b = min(b, 1.0)
    return (a0 + a1 * b + a2 * b**2 + a3 * b**3) / _NORMAL_975
