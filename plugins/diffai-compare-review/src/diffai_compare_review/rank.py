"""Has the change of a matrix a low rank? The rounding of the stored dtype sets the floor."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_review.causes import Cause

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_review.look import Look, Window

GAP = 1.5
"""Least ratio of the last singular value that counts to the next one."""
CLEAR_GAP = 100.0
"""From this gap on, what is below may exceed the rounding noise."""
TAIL = 2.0
"""Most that the next singular value may be, in noise edges."""
NOISE_TAIL = 1.25
"""What it is at most where it is rounding alone."""
HIDDEN = 0.3
"""Noise edge over the largest singular value from which rounding can hide a rank."""
HIDDEN_ONE = 0.1
"""The same for rank 1: where rounding drowns the rest, the largest value of a falling series stands alone, too."""
_MANTISSA = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7, "float8_e4m3fn": 3, "float8_e5m2": 2}
_LEAST = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126, "float8_e4m3fn": -6, "float8_e5m2": -14}
_SMALLEST = 8
_ABOVE = 1.3
"""Noise edges that a singular value must exceed to count where no gap is the largest by far."""
_LATE = 0.85
"""Share of the singular values of a window up to which a gap is looked for."""
_WIDER = 3
_FLOOR = 1e-7
"""Singular values this far below the largest are rounding of the squares they are taken from."""


class RankTest(NamedTuple):
    """The largest gap among the singular values of a change.

    Args:
        rank: Singular values above the gap.
        gap: Ratio of the values on both sides of it.
        tail: The value below it, in edges of rounding noise.
        noise_edge_over_sigma1: The largest singular value that rounding gives, over the largest of all.
        energy_top_r: Share of the squared change above the gap.
        n_lines: Rows or columns looked at, the fewer.
        left: The first left singular vector.
        is_largest: Whether the gap is the largest of all.
        needs_wider: Whether the values fall to the noise beyond half of the window, which a wider one may show as a
            low rank.
    """

    rank: int
    gap: float
    tail: float
    noise_edge_over_sigma1: float
    energy_top_r: float
    n_lines: int
    left: NDArray[Any]
    is_largest: bool
    needs_wider: bool = False

    @property
    def is_low(self) -> bool:
        """Whether the rank is low beyond doubt in this matrix; three that agree make it so in a model."""
        if self.gap >= CLEAR_GAP:
            return True
        most = HIDDEN if self.is_largest and self.rank > 1 else HIDDEN_ONE
        if self.gap < GAP or self.noise_edge_over_sigma1 > most:
            return False
        return self.tail <= NOISE_TAIL or (self.tail <= TAIL and self.gap >= 2 * GAP)

    @property
    def is_hidden(self) -> bool:
        """Whether rounding can hide a low rank."""
        return not self.is_low and self.noise_edge_over_sigma1 > HIDDEN_ONE


def rank_test(look: Look, *, side: int) -> RankTest | None:
    """Return the test of the change in a window of at most ``side`` rows and columns.

    A window's rank is at most that of the matrix, and that of nearly every window is the matrix's if it is wide enough.
    ``None`` where the change is in few rows or columns only, or the window is too small.
    """
    window = look.window if side == look.effort.side else look.window_of(side)
    delta = window.new - window.old
    if min(delta.shape) < _SMALLEST:
        return None
    singular, left = _singular_values(delta)
    if not singular[0] > 0 or window.new.min() == window.new.max():  # of one value there is no change to tell
        return None
    edge = _noise(look, window, delta) * (sqrt(delta.shape[0]) + sqrt(delta.shape[1]))
    above = np.maximum(singular, singular[0] * _FLOOR)
    half = len(singular) // 2
    ratios = above[:half] / above[1 : half + 1]
    above_noise = [int(np.count_nonzero(singular > factor * edge)) for factor in (_ABOVE, TAIL)]
    places = [int(np.argmax(ratios)), *(count - 1 for count in above_noise if 0 < count <= half)]
    tests = [_at(place, ratios, singular, edge, left) for place in places if _covers(delta, place + 1)]
    found = next((test for test in tests if test.is_low), tests[0]) if tests else None
    return None if found is None else found._replace(needs_wider=_falls_late(above, edge))


def _falls_late(above: NDArray[Any], edge: float) -> bool:
    """Whether there is a gap in the second half, short of the end where those of any square matrix fall apart."""
    half, end = len(above) // 2, int(_LATE * len(above))
    ratios = above[half:end] / above[half + 1 : end + 1]
    if not len(ratios):
        return False
    place = half + int(np.argmax(ratios))
    gap = float(np.max(ratios))
    return gap >= CLEAR_GAP or (gap >= GAP and bool(above[place + 1] <= TAIL * edge))


def _at(place: int, ratios: NDArray[Any], singular: NDArray[Any], edge: float, left: NDArray[Any]) -> RankTest:
    """Return the test of the gap behind the singular value at ``place``."""
    energy = singular * singular
    return RankTest(
        rank=place + 1,
        gap=float(ratios[place]),
        tail=float(singular[place + 1] / edge) if edge else float("inf"),
        noise_edge_over_sigma1=float(edge / singular[0]),
        energy_top_r=float(energy[: place + 1].sum() / energy.sum()),
        n_lines=len(singular),
        left=left,
        is_largest=place == int(np.argmax(ratios)),
    )


def _singular_values(delta: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the singular values, largest first, and the first left singular vector, from the Gram matrix."""
    scale = float(np.max(np.abs(delta))) or 1.0
    scaled = delta / scale
    tall = scaled if len(scaled) >= scaled.shape[1] else scaled.T
    values, vectors = np.linalg.eigh(tall.T @ tall)
    singular = np.sqrt(np.maximum(values[::-1], 0.0)) * scale
    first = vectors[:, -1]
    left = scaled @ first if tall is scaled else first
    size = float(np.linalg.norm(left))
    return singular, left / size if size else left


def _covers(delta: NDArray[Any], rank: int) -> bool:
    """Whether more rows and columns changed than a matrix of that rank needs."""
    changed = delta != 0
    fewest = min(np.count_nonzero(changed.any(axis=1)), np.count_nonzero(changed.any(axis=0)))
    return bool(fewest >= max(min(_WIDER * rank, *delta.shape), _SMALLEST))


def _noise(look: Look, window: Window, delta: NDArray[Any]) -> float:
    """Return the root mean square of what rounding to the stored dtype adds to the change."""
    name = look.new.dtype.name
    if name not in _MANTISSA:
        return 0.0
    _, exponents = np.frexp(np.where(window.new == 0, 2.0 ** _LEAST[name], window.new))
    ulps = np.ldexp(1.0, np.maximum(exponents - 1, _LEAST[name]) - _MANTISSA[name])
    return min(sqrt(float(np.mean(ulps * ulps)) / 12), sqrt(float(np.mean(delta * delta))))


def rank_cause(test: RankTest) -> Cause:
    """Return the cause that a low rank is."""
    details = {
        "delta_rank": test.rank,
        "delta_rank_gap": test.gap,
        "noise_edge_over_sigma1": test.noise_edge_over_sigma1,
        "energy_top_r": test.energy_top_r,
    }
    return Cause("low_rank", f"rank {test.rank}", details)
