"""Did NEW lose values to zero, or fall onto a grid that OLD is not on?"""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_compare_review.causes import Cause
from diffai_compare_review.look import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_review.look import Look, Window

_ORTHOGONAL = 1e-9
_MORE_ZEROS = 0.1
_SEMI = 0.75
"""Most zeros of a 2:4 matrix; at random, groups with fewer than two zeros are rare from here on."""
_ROWS = 4
_COLUMNS = 2048
_GROUPS = (128, 64, 32)
_BITS = (2, 3, 4)
_CODES = 256
_CODE_BITS = 8
_ENOUGH = 1024
LATTICE = 0.125
"""Mean distance from an 8-bit grid, in steps, below which values lie on it; 0.25 on none."""


def prune_cause(look: Look, *, trained: bool = False) -> Cause | None:
    """Return whether changed elements became zero and all others are as before, or were ``trained`` as well."""
    window = look.window
    if not trained and look.readable and _rest_is_kept(look) and np.array_equal(window.old, window.new):
        window = look.whole  # what was set to zero lies beside the window
    zeros_old, zeros_new = float(np.mean(window.old == 0)), float(np.mean(window.new == 0))
    if zeros_new <= zeros_old:
        return None
    changed = window.old != window.new
    kept = bool(np.all(window.new[changed] == 0)) and _rest_is_kept(look)
    if kept == trained or (trained and zeros_new < zeros_old + _MORE_ZEROS):
        return None
    pattern, share = _pattern(look, window)
    details = {
        "zero_share_old": zeros_old,
        "zero_share": zeros_new,
        "n_zeroed": look.statistics["changes"].n_changed if kept else None,
        "others_bit_identical": kept,
        "pattern": pattern,
        "two_of_four_share": share,
    }
    return Cause("pruned", pattern if kept else f"{pattern}, and trained", details)


def _rest_is_kept(look: Look) -> bool:
    """Whether NEW is orthogonal to the change, as it is over the whole tensor if elements were only set to zero."""
    moments = look.statistics.get("moments")
    if moments is None or moments.norm_ratio is None or moments.rel_change is None:
        return False
    if max(moments.norm_ratio, moments.rel_change) > 2:  # noqa: PLR2004 - both are at most 1 then; squares may overflow
        return False
    return bool(abs(moments.norm_ratio**2 + moments.rel_change**2 - 1) <= _ORTHOGONAL)


def _pattern(look: Look, window: Window) -> tuple[str, float | None]:
    """Return ``2:4``, ``rows``, ... or ``unstructured``, and the share of groups of 4 with 2 zeros or more."""
    if not window.new.any():
        return "everything", None
    rows = look.rows(_ROWS, _COLUMNS).new
    share = _two_of_four(rows)
    if share == 1.0 and np.mean(rows == 0) <= _SEMI:  # groups of a very sparse matrix have two zeros anyway
        return "2:4", share
    for name, axis in (("rows", 1), ("columns", 0)):
        gone = np.all(window.new == 0, axis=axis) & ~np.all(window.old == 0, axis=axis)
        lost = np.expand_dims(gone, axis)
        if gone.any() and np.array_equal(np.where(lost, 0, window.old) == 0, window.new == 0):
            return name, share
    return "unstructured", share


def _two_of_four(rows: NDArray[Any]) -> float | None:
    usable = rows.shape[1] // 4 * 4
    if not usable:
        return None
    zeros = np.sum(rows[:, :usable].reshape(len(rows), -1, 4) == 0, axis=2)
    return float(np.mean(zeros >= 2))  # noqa: PLR2004 - two of four


def grid_cause(look: Look) -> Cause | None:
    """Return the grid that NEW lies on and OLD does not; told of floating-point values only."""
    new = look.result.pair.new
    if new is None or new.dtype.kind != "float":
        return None
    rows = look.rows(_ROWS, _COLUMNS)
    found = _few_values(rows.new)
    if found is not None:
        before = _few_values(rows.old)
        if before is not None and before["grid_bits"] <= found["grid_bits"]:
            return None
        return Cause("on_grid", f"{found['grid_bits']} bits, {found['grid_group']}", found)
    return _eight_bits(rows.old, rows.new) or (None if new.dtype.bits <= _CODE_BITS else _one_grid(look.window))


def _few_values(rows: NDArray[Any]) -> dict[str, Any] | None:
    """Return bits and group size if each group of a row has so few distinct values; zeros alone are no grid."""
    for group in _GROUPS:
        usable = rows.shape[1] // group * group
        if not usable or int(distinct(rows[:1, :group])[0]) > 2 ** _BITS[-1] or not np.any(rows):
            continue
        most = int(distinct(rows[:, :usable].reshape(-1, group)).max())
        for bits in _BITS:
            if 2 < most <= 2**bits <= group // 2 and np.mean(rows == 0) < 0.5:  # noqa: PLR2004 - not just pruned
                return {"grid_bits": bits, "grid_group": f"groups of {group}", "max_distinct": most}
    return None


def _eight_bits(old: NDArray[Any], new: NDArray[Any]) -> Cause | None:
    """Return whether each row has few values, or lies on multiples of a step."""
    if new.shape[1] >= _ENOUGH and int(distinct(new[:1])[0]) <= _CODES:
        most, before = (int(distinct(side).max()) for side in (new, old))
        if 2 < most <= _CODES < before:  # noqa: PLR2004 - not just zero and one more
            bits = ceil(log2(most))
            details = {"grid_bits": bits, "grid_group": "rows", "max_distinct": most, "max_distinct_old": before}
            return Cause("on_grid", f"{bits} bits, rows", details)
    if int(distinct(new).max()) <= 2:  # noqa: PLR2004 - of one value, or of zero and one more
        return None
    residual, before_residual = _lattice_residual(new), _lattice_residual(old)
    if residual is None or before_residual is None or not residual < LATTICE < before_residual:
        return None
    details = {"grid_bits": 8, "grid_group": "rows", "grid_residual": residual, "grid_residual_old": before_residual}
    return Cause("on_grid", "8 bits, rows", details)


def _one_grid(window: Window) -> Cause | None:
    """Return whether all rows together have few values, as with one step for the whole tensor."""
    if int(np.count_nonzero(window.new)) < 4 * _CODES:
        return None
    most, before = (int(distinct(side.reshape(1, -1))[0]) for side in (window.new, window.old))
    if not 2 < most <= _CODES < before:  # noqa: PLR2004 - as above
        return None
    details = {"grid_bits": 8, "grid_group": "whole tensor", "max_distinct": most, "max_distinct_old": before}
    return Cause("on_grid", "8 bits, whole tensor", details)


def _lattice_residual(rows: NDArray[Any]) -> float | None:
    """Return the mean distance from an 8-bit grid of rows, or of the groups of rows that come nearest to one."""
    lengths = [rows.shape[1], *(group for group in _GROUPS if rows.shape[1] % group == 0)]
    found = [_group_residual(rows.reshape(-1, length)) for length in lengths]
    return min((residual for residual in found if residual is not None), default=None)


def _group_residual(rows: NDArray[Any]) -> float | None:
    """Return the mean distance of ``row / step`` from whole numbers, the step being 1/127 of the largest value."""
    step = np.max(np.abs(rows), axis=1, keepdims=True) / 127
    if rows.shape[1] < _GROUPS[-1] or not step.all():
        return None
    codes = np.rint(rows / step)
    step = np.sum(rows * codes, axis=1, keepdims=True) / np.sum(codes * codes, axis=1, keepdims=True)
    scaled = rows / step
    return float(np.mean(np.abs(scaled - np.rint(scaled))[codes != 0])) if np.any(codes) else None
