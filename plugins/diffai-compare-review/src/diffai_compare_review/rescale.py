"""Is NEW a rescaling of OLD: whole rows, whole columns, both, or their signs?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_compare_review.causes import Cause

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_review.look import Look, Window

UNEXPLAINED = 0.1
"""Most of the squared change that scaling may leave."""
ROUNDINGS = 3.0
"""Largest error that scaling may leave, in roundings of the dtype (root mean square)."""
_FEWEST = 8
"""Elements that a scale must explain."""
_ROUNDS = 12
_SIGN = 1e-6


def rescale_cause(look: Look, *, thorough: bool) -> Cause | None:
    """Return the scales of rows or columns, or of both if ``thorough``, that explain the change."""
    window = look.window
    change = float(np.sum((window.new - window.old) ** 2))
    size = float(np.sum(window.new**2))
    if not change or not size:
        return None
    most = min(UNEXPLAINED * change, (ROUNDINGS * look.rounding) ** 2 * size)
    for axis, name in ((1, "rows"), (0, "columns")):
        if window.old.shape[axis] >= _FEWEST and (window.old.shape[1 - axis] > 1 or axis == 1):
            scales = _scales(window.old, window.new, axis)
            if not scales.all():  # lines that became zero were pruned
                continue
            left = _left(window, np.expand_dims(scales, axis))
            if left <= most:
                return _cause(scales, name if len(scales) > 1 else "whole tensor", left / size, look)
    return _both(window, most, size, look) if thorough and min(window.old.shape) >= _FEWEST else None


def _scales(old: NDArray[Any], new: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the least-squares factor of each line; 1 where OLD is all zero."""
    size = np.sum(old * old, axis=axis)
    scales: NDArray[Any] = np.divide(np.sum(old * new, axis=axis), size, out=np.ones_like(size), where=size > 0)
    return scales


def _left(window: Window, scales: NDArray[Any]) -> float:
    return float(np.sum((window.new - scales * window.old) ** 2))


def _cause(scales: NDArray[Any], what: str, left: float, look: Look) -> Cause:
    details: dict[str, Any] = {
        "scaled": what,
        "scale_min": float(scales.min()),
        "scale_max": float(scales.max()),
        "scale_cv": float(np.std(scales) / abs(np.mean(scales))) if np.mean(scales) else None,
        "diag_fit_residual": left**0.5,
        "rounding": look.rounding,
    }
    if np.allclose(np.abs(scales), 1, rtol=0, atol=max(_SIGN, ROUNDINGS * look.rounding)):
        details["flipped_share"] = float(np.mean(scales < 0))
        return Cause("sign_flips", what, details)
    if np.allclose(scales, scales[0], rtol=max(_SIGN, 2 * look.rounding)):
        details["scaled"] = "whole tensor"
        return Cause("rescaled", "whole tensor", details)
    return Cause("rescaled", what, details)


def _both(window: Window, most: float, size: float, look: Look) -> Cause | None:
    """Fit a factor of each row and one of each column in turn (alternating least squares)."""
    columns = _first_columns(window)
    rows = np.ones(len(window.old))
    for _ in range(_ROUNDS):
        rows = _scales(window.old * columns, window.new, 1)
        columns = _scales(window.old * rows[:, None], window.new, 0)
    left = _left(window, rows[:, None] * columns)
    if left > most or not (rows.all() and columns.all()):
        return None
    if np.allclose(np.abs(rows[:, None] * columns), 1, rtol=0, atol=max(_SIGN, ROUNDINGS * look.rounding)):
        return Cause("sign_flips", "rows and columns", {"diag_fit_residual": (left / size) ** 0.5})
    details = {
        "scaled": "rows and columns",
        "row_scale_spread": float(rows.max() / rows.min()) if rows.min() > 0 else None,
        "column_scale_spread": float(columns.max() / columns.min()) if columns.min() > 0 else None,
        "diag_fit_residual": (left / size) ** 0.5,
        "rounding": look.rounding,
    }
    return Cause("rescaled", "rows and columns", details)


def _first_columns(window: Window) -> NDArray[Any]:
    """Return factors of the columns against the row of largest elements, from which the fit converges at once."""
    row = int(np.argmax(np.min(np.abs(window.old), axis=1)))
    old, new = window.old[row], window.new[row]
    factors: NDArray[Any] = np.divide(new, old, out=np.ones_like(old), where=old != 0)
    return factors
