"""What all functions take: one-dimensional series of finite numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def finite_series(values: ArrayLike, name: str, least: int) -> NDArray[np.float64]:
    """Return ``values`` as float64 array of one dimension.

    Raises:
        ValueError: If it has more dimensions, fewer than ``least`` values, or one that is NaN or infinite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} has {array.ndim} dimensions instead of 1")
    if len(array) < least:
        raise ValueError(f"{name} has {len(array)} values; at least {least} are needed")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are NaN or infinite")
    return array


def check_level(level: float) -> None:
    """Make sure that a confidence level lies between 0 and 1.

    Raises:
        ValueError: If it does not.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
