"""Which of a few peers stands out: robust z, and the threshold that keeps false alarms per family at a rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from diffai_lib_statistics.arrays import finite_series
from diffai_lib_statistics.normal import normal_quantile
from diffai_lib_statistics.trend import theil_sen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

MAD_TO_SIGMA = 0.6744897501960817
"""MAD of a normal distribution in units of its standard deviation (Iglewicz and Hoaglin 1993)."""

_STRICT, _LAX = 0.01, 0.05
_PLAIN = {
    0.05: {3: 21.8, 4: 6.84, 5: 7.85, 6: 5.55, 7: 5.81, 8: 4.92, 9: 5.14, 10: 4.55, 11: 4.71, 12: 4.4, 13: 4.4}
    | {14: 4.23, 15: 4.27, 16: 4.12, 17: 4.18, 24: 3.92, 32: 3.85, 48: 3.76, 96: 3.75, 200: 3.83, 400: 3.93}
    | {1000: 4.1, 4000: 4.37},
    0.01: {3: 114.0, 4: 15.6, 5: 18.7, 6: 10.1, 7: 10.7, 8: 8.15, 9: 8.34, 10: 6.86, 11: 7.2, 12: 6.3, 13: 6.3}
    | {14: 5.9, 15: 5.9, 16: 5.55, 17: 5.64, 24: 5.0, 32: 4.8, 48: 4.5, 96: 4.35, 200: 4.29, 400: 4.35}
    | {1000: 4.48, 4000: 4.75},
}
_DETRENDED = {
    0.05: {5: 28.6, 6: 11.1, 7: 10.1, 8: 6.8, 9: 6.9, 10: 5.7, 11: 5.95, 12: 5.2, 13: 5.15, 14: 4.7, 15: 4.87}
    | {16: 4.61, 17: 4.63, 20: 4.4, 24: 4.1, 32: 3.98, 48: 3.82, 96: 3.78},
    0.01: {5: 134.0, 6: 25.7, 7: 22.2, 8: 12.1, 9: 12.7, 10: 9.8, 11: 9.5, 12: 7.8, 13: 7.6, 14: 6.8, 15: 6.96}
    | {16: 6.55, 17: 6.74, 20: 5.8, 24: 5.35, 32: 4.95, 48: 4.56, 96: 4.4},
}
"""Largest |robust z| of n normal values that is exceeded in 5 and 1 % of families, by simulation (40,000 families for
each n); of the residuals around a Theil-Sen line through equally spaced depths in the second table."""


def robust_z(values: ArrayLike, floor: float = 0.0) -> NDArray[np.float64]:
    """Return how far each value is from the median, in robust standard deviations.

    ``0.6745 (x - median) / MAD``. Where more than half of the values are equal the MAD is 0: those are 0 and the
    others infinite, unless ``floor`` says what difference is none.

    Args:
        values: Shape ``(n,)``.
        floor: Least MAD, in units of the values: the resolution below which differences mean nothing.

    Returns:
        Shape ``(n,)``, without unit.

    Raises:
        ValueError: If a value is NaN or infinite.

    Example:
        >>> robust_z([1.0, 2.0, 3.0, 4.0, 100.0]).round(2).tolist()
        [-1.35, -0.67, 0.0, 0.67, 65.43]
    """
    array = finite_series(values, "values", 0)
    if not len(array):
        return array
    distances = array - np.median(array)
    scale = max(float(np.median(np.abs(distances))), floor)
    if scale > 0:
        return MAD_TO_SIGMA * distances / scale
    outside: NDArray[np.float64] = np.where(distances == 0, 0.0, np.copysign(np.inf, distances))
    return outside


def family_wise_threshold(n: int, rate: float = 0.05, *, after_trend: bool = False) -> float:
    """Return the |robust z| that the most extreme of ``n`` normal values exceeds with probability ``rate``.

    Simulated, interpolated in log n between the simulated sizes; beyond them the two-sided normal quantile of Sidak
    where that is larger. The common 3.5 raises a false alarm in 15 % of families of 6.

    Args:
        n: Number of values compared with each other.
        rate: Accepted probability of any false alarm among them, 0.01 to 0.05; interpolated in its logarithm.
        after_trend: Whether the values are residuals of :func:`detrended`.

    Returns:
        The threshold; infinite for fewer than 3 values (5 residuals), among which nothing can be told.

    Raises:
        ValueError: If ``rate`` is outside 0.01 to 0.05.

    Example:
        >>> [round(family_wise_threshold(n), 2) for n in (6, 12, 24, 96)]
        [5.55, 4.4, 3.92, 3.75]
    """
    if not _STRICT <= rate <= _LAX:
        raise ValueError(f"the threshold is known for rates from {_STRICT} to {_LAX}, not for {rate}")
    tables = _DETRENDED if after_trend else _PLAIN
    strict, lax = (_from_table(tables[edge], n, edge) for edge in (_STRICT, _LAX))
    if math.isinf(lax):
        return lax
    share = math.log(rate / _STRICT) / math.log(_LAX / _STRICT)
    return math.exp((1 - share) * math.log(strict) + share * math.log(lax))


def _from_table(table: Mapping[int, float], n: int, rate: float) -> float:
    sizes = sorted(table)
    if n < sizes[0]:
        return math.inf
    known = float(np.interp(math.log(n), np.log(sizes), [table[size] for size in sizes]))
    return max(known, -normal_quantile(-math.expm1(math.log1p(-rate) / n) / 2)) if n > sizes[-1] else known


def detrended(depth: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
    """Return the residuals of ``values`` around their Theil-Sen line over ``depth``.

    Args:
        depth: Shape ``(n,)``: block number of each value.
        values: Shape ``(n,)``.

    Returns:
        Shape ``(n,)``, in units of the values, with median 0; where all depths are equal, distances from the median.

    Raises:
        ValueError: If a number is NaN or infinite, or the lengths differ.
    """
    x, y = finite_series(depth, "depth", 0), finite_series(values, "values", 0)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} depths for {len(y)} values")
    if len(x) and np.ptp(x) > 0:
        y = y - theil_sen(x, y).slope * (x - np.median(x))
    return y - np.median(y) if len(y) else y
