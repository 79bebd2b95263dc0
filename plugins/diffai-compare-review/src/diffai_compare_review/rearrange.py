"""Does NEW hold the values of OLD in other places, or the rows of OLD turned?"""

from __future__ import annotations

from itertools import permutations
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_compare_review.causes import Cause
from diffai_compare_review.look import distinct, evenly

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_review.look import Look
    from diffai_compare_review.matrix import Matrix
    from diffai_core.plugin import TensorRef

_POINTS = 4096
_MOST_AXES = 4
_KEY = 8
_WHOLE_LINES = 16
_WIDEST = 1 << 16
"""Columns of a row that can be taken as a whole."""
_MOST_LINES = 1 << 15
_SAME = 1e-9
_RELATED = 0.5
_ENOUGH = 256
"""Elements that it takes to tell that two matrices point the same way; at random their cosine is 0 ± 1/16."""
_CLOSER = 0.25
"""How much closer NEW must be to OLD turned than to OLD as it is."""
_ROTATION_ROWS = 32
_ROTATION_SHARE = 0.25
"""Of the spread of norm ratios that unrelated rows have, what rows turned by one rotation may have."""


def transpose_cause(look: Look) -> Cause | None:
    """Return the order of axes in which NEW stores OLD; tensors of equal and of other shapes."""
    pair = look.result.pair
    if pair.old is None or pair.new is None or not 1 < len(pair.old.shape) <= _MOST_AXES:
        return None
    if look.old.size != pair.old.numel or look.new.size != pair.new.numel:
        return None
    if look.result.same_shape and not rearranged(look):
        return None
    axes = _axes(pair.old, pair.new, look.old, look.new)
    if axes is None:
        return None
    details = {"axes": list(axes), "n_checked": _POINTS, "equal_share": 1.0}
    return Cause("transposed", "axes " + ", ".join(map(str, axes)), details)


def turned_cause(look: Look) -> Cause | None:
    """Return whether a matrix is stored the other way round and trained as well: OLD is close to NEW turned."""
    pair, (rows, columns) = look.result.pair, look.shape
    if pair.old is None or len(pair.old.shape) != 2 or look.new.shape != (columns, rows):  # noqa: PLR2004 - a matrix
        return None
    moments = look.statistics.get("moments") if look.result.same_shape else None
    if moments is not None and (moments.centred_cos is None or moments.centred_cos > _RELATED):
        return None
    places = evenly(rows, look.effort.side), evenly(columns, look.effort.side)
    old = look.old.part(*places).astype(np.float64).ravel()
    new = look.new.T.part(*places).astype(np.float64).ravel()
    cosine = _centred_cosine(old, new)
    if cosine is None or cosine <= _RELATED or old.size < _ENOUGH:
        return None
    if moments is not None and cosine < moments.centred_cos + _CLOSER:  # of symmetric matrices both are equal
        return None
    return Cause("transposed", "axes 1, 0, and trained", {"axes": [1, 0], "turned_cos": cosine})


def _centred_cosine(old: NDArray[Any], new: NDArray[Any]) -> float | None:
    if not (np.isfinite(old).all() and np.isfinite(new).all()):
        return None
    old, new = old - np.mean(old), new - np.mean(new)
    size = float(np.linalg.norm(old) * np.linalg.norm(new))
    return float(np.dot(old, new)) / size if size else None


def _axes(old_ref: TensorRef, new_ref: TensorRef, old: Matrix, new: Matrix) -> tuple[int, ...] | None:
    shape, n_axes = old_ref.shape, len(old_ref.shape)
    points = _points(shape)
    values = old.elements(np.ravel_multi_index(points, shape))
    for axes in permutations(range(n_axes)):
        if axes == tuple(range(n_axes)) or tuple(shape[axis] for axis in axes) != new_ref.shape:
            continue
        moved = new.elements(np.ravel_multi_index(tuple(points[axis] for axis in axes), new_ref.shape))
        wanted = values if new.dtype == old.dtype else values.astype(new.dtype)
        if np.array_equal(wanted, moved) and int(distinct(moved.astype(np.float64)[None])[0]) > _KEY:
            return axes
    return None


def _points(shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    """Return places spread over a tensor, along each axis in another step."""
    count = np.arange(_POINTS, dtype=np.int64)
    return tuple(
        np.asarray((count * prime + count * count % 7919) % length, np.intp)
        for prime, length in zip((7927, 7933, 7937, 7949), shape, strict=False)
    )


def permute_cause(look: Look) -> Cause | None:
    """Return whether rows, columns or both stand in another order; only asked of equal sets of values."""
    if not rearranged(look):
        return None
    if look.shape[0] == 1:
        return Cause("permuted", "elements", {"permuted": "elements"})
    for name, old, new in (("rows", look.old, look.new), ("columns", look.old.T, look.new.T)):
        moved = _moved_lines(old, new)
        if moved is not None:
            return Cause("permuted", name, {"permuted": name, "moved_share": moved, "n_checked": min(len(old), 256)})
    if look.readable and _same_sets_of_lines(look):
        return Cause("permuted", "rows and columns", {"permuted": "rows and columns"})
    return Cause("permuted", "elements", {"permuted": "order not found; the same values"})


def rearranged(look: Look) -> bool:
    """Whether all that the pass measured of the values is equal on both sides although elements changed."""
    moments, extrema = look.statistics.get("moments"), look.statistics.get("extrema")
    if moments is None or extrema is None or not moments.old.n or look.old.dtype != look.new.dtype:
        return False
    if (extrema.old_min, extrema.old_max) != (extrema.new_min, extrema.new_max) or extrema.old_min == extrema.old_max:
        return False
    old, new = moments.old, moments.new
    if old.std is None or new.std is None:
        return False
    return bool(abs(old.std - new.std) <= _SAME * old.std and abs(old.mean - new.mean) <= _SAME * old.std)


def _moved_lines(old: Matrix, new: Matrix) -> float | None:
    """Return the share of rows that stand elsewhere, if all rows looked at are somewhere in OLD."""
    if len(old) > _MOST_LINES or len(old) < 2:  # noqa: PLR2004 - one row has no order
        return None
    columns = evenly(old.shape[1], _KEY)
    places = {row.tobytes(): index for index, row in enumerate(np.ascontiguousarray(old.part(None, columns)))}
    asked = evenly(len(new), 256)
    found = [places.get(row.tobytes()) for row in np.ascontiguousarray(new.part(asked, columns))]
    if None in found or len(places) < _RELATED * len(old):
        return None
    moved = [place != index for place, index in zip(found, asked.tolist(), strict=True)]
    columns = evenly(old.shape[1], _POINTS)
    before, after = old.part(np.array(found[:_WHOLE_LINES], np.intp), columns), new.part(asked[:_WHOLE_LINES], columns)
    return float(np.mean(moved)) if any(moved) and np.array_equal(before, after) else None


def _same_sets_of_lines(look: Look) -> bool:
    """Whether the rows, each as a set of values, are the same in another order, and the columns too."""
    window = look.whole
    for axis in (0, 1):
        for power in (1, 2):
            old, new = (np.sort(np.sum(side**power, axis=axis)) for side in (window.old, window.new))
            size = float(np.max(np.sum(np.abs(window.old) ** power, axis=axis)))
            if not np.allclose(old, new, rtol=0, atol=_SAME * size):
                return False
    return True


def rotate_cause(look: Look) -> Cause | None:
    """Return whether rows kept their lengths while they point elsewhere: their inputs (or outputs) were rotated."""
    moments = look.statistics.get("moments")
    cosine, ratio = (None, None) if moments is None else (moments.centred_cos, moments.norm_ratio)
    if cosine is None or ratio is None or abs(cosine) > _RELATED or min(look.shape) < _ROTATION_ROWS:
        return None
    if look.shape[1] > _WIDEST:
        return None
    if abs(ratio - 1) > max(look.rounding, 1e-6):
        return None
    window = look.rows(_ROTATION_ROWS, look.shape[1])
    sides = [("inputs", window.old, window.new)]
    if look.readable:
        sides.append(("outputs", look.whole.old.T, look.whole.new.T))
    for name, old, new in sides:
        spread = _norm_ratio_cv(old, new)
        null = min(sqrt(1 / old.shape[1]), 2 * _cv(np.linalg.norm(old, axis=1)))
        if spread is not None and spread < _ROTATION_SHARE * null:
            return Cause("rotated", name, {"rotated": name, "row_norm_ratio_cv": spread, "null_cv": null})
    return None


def _norm_ratio_cv(old: NDArray[Any], new: NDArray[Any]) -> float | None:
    """Return the coefficient of variation of the ratios of the rows' norms."""
    norms = np.linalg.norm(old, axis=1), np.linalg.norm(new, axis=1)
    return _cv(norms[1] / norms[0]) if norms[0].all() else None


def _cv(values: NDArray[Any]) -> float:
    mean = float(np.mean(values))
    return float(np.std(values)) / mean if mean else 0.0
