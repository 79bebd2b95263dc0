"""Whether values of NEW are the levels next to those of OLD: what rounding to nearest leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffai_compare_quantization.schemes import LARGEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_quantization.schemes import Scheme

_SLACK = 1.05
"""Scales are rounded to float16 or to six bits."""
_TIES = 32


def explained_share(
    old: NDArray[np.float64], new: NDArray[np.float64], scheme: Scheme, rounding: float = 0.0
) -> float | None:
    """Return the share of elements of NEW that rounding OLD to the nearest level of its group gives.

    An element is explained if no other level that NEW uses in its group is nearer to OLD, and if NEW is within half a
    step of OLD, or is the outermost level where OLD is beyond it. 1 after rounding to nearest; less where codes were
    chosen otherwise, as GPTQ does, or where values were trained or damaged.

    Args:
        old: Rows of OLD, shape ``(rows, columns)``.
        new: The same rows of NEW.
        scheme: How NEW is quantised.
        rounding: Largest relative error with which the levels are stored, as in bfloat16.
    """
    old, new = (_grouped(side, scheme) for side in (old, new))
    size = np.abs(new).max(axis=1, keepdims=True) if new.size else np.zeros((0, 1))
    usable = np.isfinite(size[:, 0]) & (size[:, 0] > 0) & np.isfinite(old).all(axis=1)
    if not usable.any():
        return None
    old, new = old[usable] / size[usable], new[usable] / size[usable]
    return float(np.mean(_is_nearest(old, new, rounding) & _is_near(old, new, scheme, rounding)))


def _grouped(side: NDArray[np.float64], scheme: Scheme) -> NDArray[np.float64]:
    """Return the values, shape ``(groups, elements of a group)``, without what is left over at the end of a row."""
    if scheme.per == "tensor":
        return side.reshape(1, -1)
    if scheme.per == "row" or scheme.group >= side.shape[1]:
        return side
    whole = side.shape[1] // scheme.group * scheme.group
    return side[:, :whole].reshape(-1, scheme.group)


def _is_nearest(old: NDArray[np.float64], new: NDArray[np.float64], rounding: float) -> NDArray[np.bool_]:
    """Return where no level of the group is nearer to OLD; largest magnitude of each group of NEW is 1."""
    # Groups stand side by side on one line, far enough apart that none is next to a value of another.
    shift = 4.0 * np.arange(len(new))[:, None]
    levels = np.sort(new, axis=1)
    wanted = (np.clip(old, levels[:, :1], levels[:, -1:]) + shift).reshape(-1)
    line = (levels + shift).reshape(-1)
    place = np.searchsorted(line, wanted).clip(1, max(line.size - 1, 1))
    best = np.abs(line[place - 1] - wanted)
    if line.size > 1:
        best = np.minimum(best, np.abs(line[place] - wanted))
    gaps = np.diff(levels, axis=1)
    tie = float(np.median(gaps[gaps > 0])) / _TIES if np.any(gaps > 0) else 0.0
    missed = np.abs((new + shift).reshape(-1) - wanted) - best
    moved = 2 * rounding * np.abs(new)  # the level taken and the one next to it may both be stored so far off
    found: NDArray[np.bool_] = missed.reshape(new.shape) <= tie + moved
    return found


def _is_near(old: NDArray[np.float64], new: NDArray[np.float64], scheme: Scheme, rounding: float) -> NDArray[np.bool_]:
    """Return where NEW is within half a step of OLD, or OLD is beyond all levels."""
    half = _half_step(new, scheme)
    if half is None:
        return np.ones(new.shape, np.bool_)
    low, high = new.min(axis=1, keepdims=True), new.max(axis=1, keepdims=True)
    near: NDArray[np.bool_] = np.abs(new - old) <= half * _SLACK + rounding * np.abs(new)
    near |= ((old < low) & (new == low)) | ((old > high) & (new == high))
    return near


def _half_step(new: NDArray[np.float64], scheme: Scheme) -> NDArray[np.float64] | None:
    """Return half the distance of levels, at most; ``None`` where distances differ and their levels are all there."""
    if scheme.family in ("symmetric", "signed"):
        return np.full((len(new), 1), 0.5 / max(2 ** (scheme.bits - 1) - 1, 1))
    if scheme.family == "affine":
        high, low = np.maximum(new.max(axis=1, keepdims=True), 0), np.minimum(new.min(axis=1, keepdims=True), 0)
        step: NDArray[np.float64] = (high - low) / (2**scheme.bits - 2)
        halves: NDArray[np.float64] = np.maximum(step, 1 / max(2 ** (scheme.bits - 1) - 1, 1)) / 2
        return halves  # zero points may all be 0, so that only half the codes below the largest are in use
    if scheme.family == "float":
        kind, bits = ("float8_e5m2", 2) if "e5m2" in scheme.name else ("float8_e4m3fn", 3)
        least = 2.0 ** (-6 - bits) if bits > 2 else 2.0 ** (-14 - bits)  # noqa: PLR2004 - e4m3
        found: NDArray[np.float64] = np.maximum(np.abs(new) * 2.0 ** -(bits + 1), least / LARGEST[kind])
        return found
    return None
