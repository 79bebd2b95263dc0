"""The normal distribution without SciPy, whose import takes a third of a second."""

from __future__ import annotations

import math


def normal_quantile(share: float) -> float:
    """Return the value below which ``share`` of a standard normal distribution lies (Wichura 1988, AS 241).

    Raises:
        ValueError: If ``share`` is not between 0 and 1.

    Example:
        >>> round(normal_quantile(0.975), 6)
        1.959964
    """
    from statistics import NormalDist

    if not 0 < share < 1:
        raise ValueError(f"{share} is no share between 0 and 1")
    return NormalDist().inv_cdf(share)


def normal_share(value: float) -> float:
    """Return the share of a standard normal distribution below ``value``.

    Example:
        >>> normal_share(0.0)
        0.5
    """
    return math.erfc(-value / math.sqrt(2)) / 2
