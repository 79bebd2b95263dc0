"""Grids of quantisation that hide in floating-point values: few levels in each row or group, at equal distances."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from diffai_compare_quantization.schemes import NF4, Per, Scheme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

MOST_RESIDUAL = 0.125
"""Mean distance from the nearest level, in steps, below which values lie on a grid: half of the 0.25 of any others."""
_MOST_COARSE_RESIDUAL = 0.05
_COARSE_STEPS = 64
"""Grids of fewer steps than this are hit better: being rounded to bfloat16 moves the outermost level by 0.06 steps."""
GROUPS = (128, 64, 32)
_MOST_LEVELS = 256
_MOST_SMALL_LEVELS = 16
_LEAST_USE = 3
_LEAST_SMALL_USE = 1.5
"""Values other than 0 there must be for each level, so that levels are shared; less where groups are short."""
_LEAST_LEVELS = 2
_LEAST_TELLING = 8
_TOPS = np.array([127.0, 128.0]).reshape(2, 1, 1)
_MOST_GROUPS = 512
_MOST_LINES = 64
_FIRST = 2048
_MOST_LATTICES = 128
_FIRST_LATTICES = 8
_CERTAINLY_NONE = 0.2
_NF4_TOLERANCE = 0.01


class Grid(NamedTuple):
    """Where the values of a tensor lie.

    Args:
        kind: "int" for levels at equal distances, "nf4", or "levels" for any others.
        bits: Bits that name a level.
        per: What shares a grid.
        group: Consecutive elements of a row that share it, with ``per="group"``.
        residual: Mean distance of the values from levels at equal distances, in steps; ``None`` of other levels.
    """

    kind: Literal["int", "nf4", "levels"]
    bits: int
    per: Per
    group: int
    residual: float | None

    @property
    def scheme(self) -> Scheme:
        """Rounding to nearest on such a grid."""
        family: Any = "nf4" if self.kind == "nf4" else "symmetric"
        return Scheme(str(self), family, self.bits, self.per, self.group)

    def __str__(self) -> str:
        what = {"int": f"int{self.bits}", "nf4": "nf4", "levels": f"{self.bits}-bit levels"}[self.kind]
        return f"{what} {f'groups of {self.group}' if self.per == 'group' else f'per {self.per}'}"


def find_grid(matrix: NDArray[np.float64]) -> Grid | None:
    """Return the coarsest grid on which the values lie; ``None`` if on none that can be told.

    Levels at equal distances, or those of NF4, explain more than any other levels of which there are few.

    Args:
        matrix: Whole rows of a tensor, shape ``(rows, columns)``.
    """
    if matrix.shape[0] < _LEAST_LEVELS or matrix.shape[1] < GROUPS[-1] or not np.isfinite(matrix).all():
        return None
    others: Grid | None = None
    for per, size, values in _views(matrix):
        found = _few_levels(values, per, size)
        if (found is None or found.kind == "levels") and per != "tensor":
            found = _lattice(values, per, size) or found
        if found is not None and found.kind != "levels":
            return found
        others = others or found
    return others


def _views(matrix: NDArray[np.float64]) -> Iterator[tuple[Per, int, NDArray[np.float64]]]:
    yield "tensor", 0, matrix.reshape(1, -1)
    yield "row", 0, matrix
    for size in GROUPS:
        if matrix.shape[1] > size:
            whole = matrix.shape[1] // size * size
            yield "group", size, matrix[:, :whole].reshape(-1, size)[:_MOST_GROUPS]


def _few_levels(values: NDArray[np.float64], per: Per, size: int) -> Grid | None:
    """Return the grid if each row of ``values`` has far fewer levels than elements."""
    most = _MOST_LEVELS if values.shape[1] > _MOST_LEVELS * _LEAST_USE else _MOST_SMALL_LEVELS
    if np.unique(values[0, :_FIRST]).size > most:  # decides nearly always
        return None
    ordered = np.sort(values, axis=1)
    n_levels = _n_levels(ordered)
    use = np.count_nonzero(values, axis=1) / np.maximum(n_levels - 1, 1)
    telling = n_levels > _LEAST_LEVELS
    if n_levels.max() > most or not telling.any():
        return None
    if use[telling].min() < (_LEAST_USE if most == _MOST_LEVELS else _LEAST_SMALL_USE):
        return None
    lines = [np.unique(line) for line in ordered[telling][:_MOST_LINES]]
    found = [_spacing(line) for line in lines]
    residual = float(np.mean([residual for residual, _ in found]))
    if residual < MOST_RESIDUAL:
        bits = max(math.ceil(math.log2(steps + 1)) for _, steps in found)
        return Grid("int", max(bits, 2), per, size, residual)
    if n_levels.max() <= _MOST_SMALL_LEVELS and _is_nf4(lines):
        return Grid("nf4", 4, per, size, None)
    return Grid("levels", math.ceil(math.log2(int(n_levels.max()))), per, size, None)


def _n_levels(ordered: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many different values each row has; rows are sorted."""
    found: NDArray[np.intp] = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
    return found


def _spacing(levels: NDArray[np.float64]) -> tuple[float, int]:
    """Return how far levels are from the coarsest grid of equal distances that holds them, and its number of steps.

    The distance is 1 where none does. Of 16 levels no more than 15 steps are tried, of more at most four for each and
    255, so that levels that lie on no grid do not find one by chance.
    """
    most = _MOST_SMALL_LEVELS - 1 if levels.size <= _MOST_SMALL_LEVELS else min(4 * levels.size, _MOST_LEVELS - 1)
    steps = np.arange(max(levels.size - 1, 2), most + 1)
    if not steps.size:
        return 1.0, most
    places = (levels - levels[0]) * (steps[:, None] / (levels[-1] - levels[0]))
    counts = np.rint(places)
    places *= np.sum(counts * counts, axis=1, keepdims=True) / np.sum(counts * places, axis=1, keepdims=True)
    offsets = places - counts
    residuals = np.mean(np.abs(offsets - offsets.mean(axis=1, keepdims=True)), axis=1)
    fits = np.flatnonzero(residuals < np.where(steps < _COARSE_STEPS, _MOST_COARSE_RESIDUAL, MOST_RESIDUAL))
    best = int(fits[0] if fits.size else residuals.argmin())
    return float(residuals[best]) if fits.size else 1.0, int(steps[best])


def _is_nf4(lines: list[NDArray[np.float64]]) -> bool:
    """Whether levels, divided by the largest of them, are levels of NF4."""
    far = [np.abs(line[:, None] / np.abs(line).max() - NF4).min(axis=1).max() for line in lines if line.any()]
    return bool(far) and float(np.median(far)) < _NF4_TOLERANCE


def _lattice(values: NDArray[np.float64], per: Per, size: int) -> Grid | None:
    """Return the 8-bit grid whose outermost level is the largest magnitude of each row of ``values``."""
    some = _residual_of(values[:_FIRST_LATTICES])
    if some is None or some > _CERTAINLY_NONE:  # decides nearly always
        return None
    residual = _residual_of(values[:_MOST_LATTICES])
    return Grid("int", 8, per, size, residual) if residual is not None and residual < MOST_RESIDUAL else None


def _residual_of(values: NDArray[np.float64]) -> float | None:
    """Return the mean distance of values other than 0 from the better of two grids for each row, in steps."""
    values = values[_n_levels(np.sort(np.abs(values), axis=1)) >= _LEAST_TELLING]
    if not values.size:
        return None
    steps = np.abs(values).max(axis=1, keepdims=True) / _TOPS
    counts = np.rint(values / steps)
    steps = np.sum(counts * values, axis=2, keepdims=True) / np.sum(counts * counts, axis=2, keepdims=True)
    ratios = values / steps
    distances = np.abs(ratios - np.rint(ratios), out=ratios)
    return float(np.sum(distances, axis=(1, 2)).min() / np.count_nonzero(values))


def matrix_scheme(scheme: Scheme, ref: TensorRef) -> Scheme | None:
    """Return the scheme if its scales lie along rows of the matrix view; ``None`` if along other axes."""
    axis = ref.quantization.axis if ref.quantization else None
    return scheme if scheme.per == "tensor" or axis in (None, 0) else None
