"""Centred sums of a series of numbers: one part of a sum of squares that neither cancels nor overflows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.accumulators.sums import dot, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.workspace import Workspace

_SAFE = 2.0**200
"""Fourth powers of numbers between this and its inverse, and sums of them, stay well inside float64."""


class Centred(NamedTuple):
    """Count, mean and centred sum of squares of the finite numbers of a series.

    The sums are kept in units of ``2**exponent``, which is 1 except for float64 tensors of extreme size, and relative
    to ``pivot``, which is 0 except for integers too long for float64.

    Args:
        n: How many numbers.
        offset: Their mean less ``pivot``, in units of ``2**exponent``.
        m2_scaled: Sum of squared distances from the mean, in units of ``4**exponent``.
        exponent: Power of two of the unit.
        pivot: Integer from which the numbers are measured.
    """

    n: int = 0
    offset: float = 0.0
    m2_scaled: float = 0.0
    exponent: int = 0
    pivot: int = 0

    @property
    def mean(self) -> float | None:
        """Arithmetic mean; ``None`` without numbers."""
        return unscaled(self.pivot + self.offset, self.exponent) if self.n else None

    @property
    def m2(self) -> float | None:
        """Sum of squared distances from the mean; ``None`` without numbers or where float64 cannot hold it."""
        return unscaled(self.m2_scaled, 2 * self.exponent) if self.n else None

    @property
    def variance(self) -> float | None:
        """Population variance; ``None`` without numbers or where float64 cannot hold it."""
        return unscaled(self.m2_scaled / self.n, 2 * self.exponent) if self.n else None

    @property
    def std(self) -> float | None:
        """Population standard deviation; ``None`` without numbers."""
        return unscaled(math.sqrt(self.m2_scaled / self.n), self.exponent) if self.n else None

    @property
    def rms(self) -> float | None:
        """Root of the mean square; ``None`` without numbers."""
        return unscaled(self.norm_scaled / math.sqrt(self.n), self.exponent) if self.n else None

    @property
    def norm(self) -> float | None:
        """Euclidean norm (0 without numbers); ``None`` where float64 cannot hold it."""
        return unscaled(self.norm_scaled, self.exponent)

    @property
    def norm_scaled(self) -> float:
        """Euclidean norm in units of ``2**exponent``."""
        mean = self.pivot + self.offset
        return math.sqrt(self.m2_scaled + self.n * mean * mean)

    def plus(self, later: Centred) -> Centred:
        """Return the sums of both series (Chan, Golub and LeVeque 1983)."""
        if not self.n:
            return later
        if not later.n:
            return self
        exponent = common_exponent(self, later)
        left, right = self.at(exponent), later.at(exponent)
        n = left.n + right.n
        gap = right.offset - left.offset + float(right.pivot - left.pivot)
        weight = right.n / n
        m2 = left.m2_scaled + right.m2_scaled + gap * gap * left.n * weight
        return Centred(n, left.offset + gap * weight, m2, exponent, left.pivot)

    def at(self, exponent: int) -> Centred:
        """Return the same sums in units of ``2**exponent``; what is lost is below any larger part of the series."""
        shift = self.exponent - exponent
        if not shift:
            return self
        return self._replace(
            offset=math.ldexp(self.offset, shift), m2_scaled=math.ldexp(self.m2_scaled, 2 * shift), exponent=exponent
        )


def common_exponent(left: Centred, right: Centred) -> int:
    """Return the unit in which two series can be added: the larger, of those that are not all zero."""
    if left.exponent == right.exponent:
        return left.exponent
    return max((c.exponent for c in (left, right) if c.offset or c.m2_scaled), default=0)


def unscaled(value: float, exponent: int) -> float | None:
    """Return ``value * 2**exponent``, or ``None`` where that overflows float64 or vanishes in it."""
    if not exponent:
        return value
    try:
        result = math.ldexp(value, exponent)
    except OverflowError:
        return None
    return result if result or not value else None


def scale_of(low: float, high: float) -> int:
    """Return the power of two by which numbers from ``low`` to ``high`` must be divided before they are squared."""
    largest = max(abs(low), abs(high))
    if 1 / _SAFE <= largest <= _SAFE or not largest:
        return 0
    return math.frexp(largest)[1]


def scaled_down(
    values: NDArray[np.float64], exponent: int, workspace: Workspace, slot: str = "scaled"
) -> NDArray[np.float64]:
    """Return ``values / 2**exponent``, in the scratch array ``slot`` if they have to be changed."""
    if not exponent:
        return values
    return np.ldexp(values, -exponent, out=workspace.float64(slot, values.size))


class Series(NamedTuple):
    """Finite numbers, at least one, ready to be summed up.

    Args:
        values: The numbers less ``pivot``, as float64.
        low: Least value.
        high: Greatest value.
        extreme: Whether powers of the values may be outside float64.
        pivot: Integer from which the numbers are measured, 0 unless they are integers too long for float64.
        exponent: Power of two of the unit of the values.
    """

    values: NDArray[np.float64]
    low: float
    high: float
    extreme: bool = False
    pivot: int = 0
    exponent: int = 0


def series_of_integers(numbers: NDArray[Any], low: int, high: int, out: NDArray[np.float64]) -> Series:
    """Return 64-bit integers of any length, at least one, measured exactly from ``low``; ``out`` is scratch."""
    distances = numbers.view(np.uint64) - np.uint64(low % (1 << 64))
    np.copyto(out, distances, casting="unsafe")
    return Series(out, 0, high - low, pivot=low)


def centred_sums(series: Series, workspace: Workspace) -> Centred:
    """Return count, mean and centred sum of squares.

    Squares are summed about zero where that loses nothing, else about the mean with a second-order correction.
    """
    values, low, high, extreme, pivot, unit = series
    shift = scale_of(low, high) if extreme else 0
    values = scaled_down(values, shift, workspace)
    n = values.size
    exponent = shift + unit
    if low == high:
        return Centred(n, float(values[0]) + 0.0, 0.0, exponent, pivot)
    mean = total(values) / n
    squares = dot(values, values)
    raw = n * mean * mean
    if raw <= 0.25 * squares:
        return Centred(n, mean, squares - raw, exponent, pivot)
    distances = np.subtract(values, mean, out=workspace.float64("distances", n))
    rest = total(distances)
    m2 = dot(distances, distances) - rest * rest / n
    return Centred(n, mean + rest / n, max(m2, 0.0), exponent, pivot)
