"""Confidence intervals of means and shares."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_statistics.arrays import check_level, finite_series
from diffai_lib_statistics.normal import normal_quantile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """An estimate between its confidence limits.

    Args:
        estimate: The best single value.
        low: Lower limit.
        high: Upper limit.
        n: Number of values behind it.
    """

    estimate: float
    low: float
    high: float
    n: int

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies within the limits."""
        return self.low <= value <= self.high


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of independent values with Student's t interval.

    Raises:
        ValueError: If there are fewer than 2 values or one is not finite.
    """
    from scipy.special import stdtrit

    check_level(level)
    array = finite_series(values, "values", 2)
    n = len(array)
    mean = float(array.mean())
    reach = float(stdtrit(n - 1, 0.5 + level / 2) * array.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Return a share with Wilson's score interval, which holds near 0 and 1 and for few trials.

    Raises:
        ValueError: If there is no trial, or there are more successes than trials or fewer than 0.
    """
    check_level(level)
    if not 0 <= successes <= n or not n:
        raise ValueError(f"{successes} successes of {n} trials")
    z = normal_quantile(0.5 + level / 2)
    share, weight = successes / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    low = 0.0 if successes == 0 else max(middle - reach, 0.0)
    high = 1.0 if successes == n else min(middle + reach, 1.0)
    return Interval(share, low, high, n)


def normal_interval(estimate: float, standard_error: float, n: int, level: float = 0.95) -> Interval:
    """Return an interval from a standard error that is known or rests on many values.

    Raises:
        ValueError: If the standard error is negative or not finite.
    """
    check_level(level)
    if not 0 <= standard_error < math.inf:
        raise ValueError(f"a standard error of {standard_error}")
    reach = normal_quantile(0.5 + level / 2) * standard_error
    return Interval(estimate, estimate - reach, estimate + reach, n)
