"""A second look at a changed tensor: a few rows and columns of it, or as much as the full look allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_review.matrix import matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from diffai_compare_review.effort import Effort
    from diffai_compare_review.matrix import Matrix
    from diffai_core.plugin import PairResult, TensorRef

_NUMBERS = frozenset({"float", "int", "uint"})
_ROUNDING = {
    "float64": 4.6e-17,
    "float32": 2.5e-8,
    "float16": 2.07e-4,
    "bfloat16": 1.66e-3,
    "float8_e4m3fn": 2.65e-2,
    "float8_e5m2": 5.3e-2,
}
_COARSE = 0.1
_HUGE = 1e100


class Window(NamedTuple):
    """Elements of both sides at the same places.

    Args:
        old: Values of OLD in float64, shape ``(rows, columns)``; 0 where either side is not finite.
        new: The same of NEW.
        stored_old: The same elements of OLD as they are stored.
        stored_new: The same of NEW.
    """

    old: NDArray[Any]
    new: NDArray[Any]
    stored_old: NDArray[Any]
    stored_new: NDArray[Any]


@dataclass(frozen=True)
class Look:
    """One changed pair of tensors, open for a second look.

    Args:
        result: What the pass found.
        old: Stored elements of OLD as a matrix, first dimension against all others; leading rows only where the tensor
            has to be decoded.
        new: The same of NEW; of another shape where the tensors have other shapes.
        effort: How much may be read.
    """

    result: PairResult
    old: Matrix
    new: Matrix
    effort: Effort

    @property
    def key(self) -> str:
        """Name of the tensor."""
        return self.result.pair.key

    @property
    def statistics(self) -> Mapping[str, Any]:
        """What the pass measured."""
        return self.result.statistics

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns at hand."""
        return self.old.shape

    @property
    def rounding(self) -> float:
        """Root mean square of the relative error of one rounding to the coarser of both dtypes."""
        refs = (self.result.pair.old, self.result.pair.new)
        return max(rounding_of(ref) for ref in refs if ref is not None)

    @cached_property
    def window(self) -> Window:
        """Evenly spaced rows and columns."""
        return self.window_of(self.effort.side)

    def window_of(self, side: int) -> Window:
        """Return at most ``side`` rows and columns, evenly spaced."""
        rows, columns = (evenly(length, side) for length in self.shape)
        return self._finite(self.old.part(rows, columns), self.new.part(rows, columns))

    def rows(self, count: int, most_columns: int) -> Window:
        """Return evenly spaced rows with their first columns, without gaps."""
        rows, columns = evenly(self.shape[0], count), np.arange(min(self.shape[1], most_columns))
        return self._finite(self.old.part(rows, columns), self.new.part(rows, columns))

    @property
    def readable(self) -> bool:
        """Whether all elements are at hand and few enough to be read as a whole."""
        ref = self.result.pair.old
        return ref is not None and self.old.size == ref.numel <= self.effort.elements

    @cached_property
    def whole(self) -> Window:
        """All elements; for :attr:`readable` tensors."""
        return self._finite(self.old.part(), self.new.part())

    @staticmethod
    def _finite(old: NDArray[Any], new: NDArray[Any]) -> Window:
        a, b = old.astype(np.float64), new.astype(np.float64)
        good = np.isfinite(a) & np.isfinite(b)
        if not good.all():
            a, b = np.where(good, a, 0.0), np.where(good, b, 0.0)
        largest = max(float(np.max(np.abs(side), initial=0.0)) for side in (a, b))
        if largest > _HUGE:  # so that squares exist; a common power of two changes nothing
            a, b = np.ldexp(a, -1000), np.ldexp(b, -1000)
        return Window(a, b, old, new)


def rounding_of(ref: TensorRef) -> float:
    """Return the root mean square of the relative error of one rounding to the stored dtype."""
    if ref.quantization is not None:
        return _COARSE
    return _ROUNDING.get(ref.dtype.name, _COARSE)


def open_look(result: PairResult, effort: Effort) -> Look | None:
    """Return the pair open for a second look; ``None`` where its elements are no real numbers or cannot be read."""
    pair = result.pair
    if pair.old is None or pair.new is None or result.reason:
        return None
    if {pair.old.dtype.kind, pair.new.dtype.kind} - _NUMBERS or 0 in {pair.old.numel, pair.new.numel}:
        return None
    old, new = matrix(pair.old, effort), matrix(pair.new, effort)
    if result.same_shape:
        rows = min(len(old), len(new))
        old, new = old.head(rows), new.head(rows)
    return Look(result, old, new, effort) if len(old) and len(new) else None


def evenly(length: int, count: int) -> NDArray[np.intp]:
    """Return at most ``count`` evenly spaced indices below ``length``.

    Example:
        >>> evenly(100, 3).tolist(), evenly(2, 3).tolist()
        ([0, 49, 99], [0, 1])
    """
    if length <= count:
        return np.arange(length)
    indices: NDArray[np.intp] = np.linspace(0, length - 1, count).astype(np.intp)
    return indices


def spread(length: int, count: int) -> list[int]:
    """Return at most ``count`` indices below ``length``, one of each of ``count`` equal parts, not in step.

    Layers repeat their tensors; in step with them, always the same one of a layer would be taken.

    Example:
        >>> spread(100, 4)
        [15, 30, 71, 86]
    """
    if length <= count:
        return list(range(length))
    golden = 0.6180339887498949
    return [int(length * (index + (0.62 + index * golden) % 1) / count) for index in range(count)]


def distinct(rows: NDArray[Any]) -> NDArray[Any]:
    """Return how many distinct values each row has; ``numpy.unique`` would load masked arrays first."""
    ordered = np.sort(rows, axis=1)
    counts: NDArray[Any] = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
    return counts
