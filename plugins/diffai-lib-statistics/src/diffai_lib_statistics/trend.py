"""Trends that a few outliers cannot bend: Theil-Sen slope and Mann-Kendall test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_lib_statistics.arrays import check_level, finite_series
from diffai_lib_statistics.normal import normal_quantile, normal_share

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_ALL_PAIRS = 1_000
_MERGE_BASE = 256


class Trend(NamedTuple):
    """A line through points.

    Args:
        slope: Units of y per unit of x.
        intercept: Median of y less the slope times the median of x.
        low: Lower end of the confidence interval of the slope.
        high: Upper end.
        n: Number of points.
    """

    slope: float
    intercept: float
    low: float
    high: float
    n: int

    @property
    def is_flat(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high


class MannKendall(NamedTuple):
    """Whether a series goes up or down.

    Args:
        s: Pairs of values that rise less those that fall.
        z: ``s`` in standard deviations of a series in random order, corrected for ties and continuity.
        p: Two-sided probability of such a ``z`` for independent values in random order.
        n: Number of values.
    """

    s: int
    z: float
    p: float
    n: int


def theil_sen(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Trend:
    """Return the median slope of all pairs of points, with Sen's interval for independent errors.

    As ``scipy.stats.theilslopes``. With more than 1,000 points the pairs are those of a point and the one half the
    series further on (Theil's incomplete method), in linear time; its interval is that of the sign test.

    Args:
        x: Shape ``(n,)``.
        y: Shape ``(n,)``.
        level: Confidence level of the interval.

    Raises:
        ValueError: If there are fewer than 2 points, all x are equal, a number is not finite or the lengths differ.
    """
    check_level(level)
    points_x, points_y = finite_series(x, "x", 2), finite_series(y, "y", 2)
    if len(points_x) != len(points_y):
        raise ValueError(f"{len(points_x)} x for {len(points_y)} y")
    if np.ptp(points_x) == 0:
        raise ValueError("all x are equal: a slope does not exist")
    every = len(points_x) <= _ALL_PAIRS
    slopes = _all_slopes(points_x, points_y) if every else _half_slopes(points_x, points_y)
    spread = _kendall_spread(points_x, points_y) if every else math.sqrt(len(slopes))
    low, high = _order_interval(slopes, spread, level)
    slope = float(np.median(slopes))
    intercept = float(np.median(points_y) - slope * np.median(points_x))
    return Trend(slope, intercept, low, high, len(points_x))


def _all_slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    first, second = np.triu_indices(len(x), 1)
    dx = x[second] - x[first]
    apart = dx != 0
    return np.sort((y[second] - y[first])[apart] / dx[apart])


def _half_slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    half = (len(x) + 1) // 2
    dx = x[half:] - x[: len(x) - half]
    apart = dx != 0  # somewhere: sorted x that differ at all differ between the halves
    return np.sort((y[half:] - y[: len(y) - half])[apart] / dx[apart])


def _kendall_spread(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the standard deviation of Kendall's S, less what ties take from it (Sen 1968)."""
    n = len(x)
    ties = _tie_sum(x, 2) + _tie_sum(y, 2)
    return math.sqrt(max((n * (n - 1) * (2 * n + 5) - ties) / 18, 0.0))


def _tie_sum(values: NDArray[np.float64], times: int) -> int:
    sizes = np.unique_counts(values).counts.astype(object)  # exact integers: fifth powers of counts overflow
    return int((sizes * (sizes - 1) * (times * sizes + 5)).sum())


def _order_interval(slopes: NDArray[np.float64], spread: float, level: float) -> tuple[float, float]:
    n, reach = len(slopes), normal_quantile(0.5 + level / 2) * spread
    upper = min(round((n + reach) / 2), n - 1)
    lower = max(round((n - reach) / 2) - 1, 0)
    return float(slopes[lower]), float(slopes[upper])


def mann_kendall(values: ArrayLike) -> MannKendall:
    """Test whether a series has a monotone trend; made for independent values, so p is too small for others.

    Raises:
        ValueError: If there are fewer than 3 values or one is not finite.

    Example:
        >>> mann_kendall([5.0, 4.0, 4.5, 3.0, 2.0]).s
        -8
    """
    series = finite_series(values, "values", 3)
    n = len(series)
    s = _rises_less_falls(series)[0]
    variance = (n * (n - 1) * (2 * n + 5) - _tie_sum(series, 2)) / 18
    z = 0.0 if not variance else (s - (s > 0) + (s < 0)) / math.sqrt(variance)
    return MannKendall(s, z, 2 * normal_share(-abs(z)), n)


def _rises_less_falls(series: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """Return Kendall's S and the series sorted, by merging halves."""
    if len(series) <= _MERGE_BASE:
        signs = np.sign(series[None, :] - series[:, None])
        return int(np.triu(signs, 1).sum()), np.sort(series)
    half = len(series) // 2
    (left_s, left), (right_s, right) = _rises_less_falls(series[:half]), _rises_less_falls(series[half:])
    below = int(np.searchsorted(left, right, "left").sum())
    above = len(left) * len(right) - int(np.searchsorted(left, right, "right").sum())
    return left_s + right_s + below - above, np.sort(np.concatenate([left, right]), kind="stable")
