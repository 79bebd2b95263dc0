"""Two groups of runs against each other, and many tests at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_lib_statistics.arrays import check_level, finite_series

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Welch(NamedTuple):
    """Means of two groups of independent values.

    Args:
        difference: Mean of the second less mean of the first, in units of the values.
        low: Lower limit of the confidence interval of the difference.
        high: Upper limit.
        t: The difference in standard errors.
        df: Degrees of freedom (Welch-Satterthwaite).
        p: Two-sided p-value.
        n_a: Values in the first group.
        n_b: Values in the second.
    """

    difference: float
    low: float
    high: float
    t: float
    df: float
    p: float
    n_a: int
    n_b: int


def welch(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Welch:
    """Compare the means of two groups that may differ in spread.

    Raises:
        ValueError: If a group has fewer than 2 values or one that is not finite, or neither group has any spread, so
            that there is no yardstick.
    """
    from scipy.special import stdtr, stdtrit

    check_level(level)
    first, second = finite_series(a, "a", 2), finite_series(b, "b", 2)
    errors = [float(group.var(ddof=1)) / len(group) for group in (first, second)]
    error = sum(errors)
    if not error:
        raise ValueError("neither group has any spread: nothing to hold the difference against")
    df = error**2 / (errors[0] ** 2 / (len(first) - 1) + errors[1] ** 2 / (len(second) - 1))
    difference = float(second.mean() - first.mean())
    t = difference / math.sqrt(error)
    reach = float(stdtrit(df, 0.5 + level / 2)) * math.sqrt(error)
    p = float(2 * stdtr(df, -abs(t)))
    return Welch(difference, difference - reach, difference + reach, t, df, p, len(first), len(second))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for the number of tests (Holm 1979): the chance of any false alarm stays below p.

    Args:
        p_values: Shape ``(n,)``, each 0 to 1.

    Returns:
        Shape ``(n,)``, in the same order.

    Raises:
        ValueError: If one is not between 0 and 1.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = finite_series(p_values, "p_values", 0)
    if ((p < 0) | (p > 1)).any():
        raise ValueError("a p-value lies between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
