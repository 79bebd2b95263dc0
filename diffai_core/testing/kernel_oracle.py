"""What the statistics of two small tensors are, by exact arithmetic on Python integers, and by how much sums may err.

Nothing here adds up floats: every finite number is an integer in units of one power of two.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from operator import mul
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from diffai_core.accumulators import Centred, Changes, Extrema, Higher, HigherMoments, Moments, Norms, SideCounts
    from diffai_core.dtypes import DType
    from diffai_core.testing.kernel_cases import Case

    Number = int | str

ALLOWED = Fraction(1, 10**12)
"""Error of a sum, relative to the sum of the magnitudes of its terms."""

_ROUNDING = Fraction(1, 1 << 49)
"""Error of a mean, relative to the largest number: it moves all distances from the mean."""

_LEAST = Fraction(1, 1 << 1074)
_GREATEST = Fraction(np.finfo(np.float64).max.item())


@dataclass(frozen=True)
class Numbers:
    """The values of one side.

    Args:
        kind: Their dtype.
        values: As float64; rounded if they are long integers.
        mantissas: Of the finite ones, in order.
        exponents: Of the finite ones: value = mantissa * 2**exponent.
    """

    kind: DType
    values: NDArray[np.float64]
    mantissas: list[int]
    exponents: list[int]

    @classmethod
    def of(cls, elements: NDArray[Any], kind: DType) -> Numbers:
        """Return the values of elements."""
        if kind.kind == "float":
            with np.errstate(all="ignore"):
                values = elements.astype(np.float64)
            sizes, exponents = np.frexp(values[np.isfinite(values)])
            return cls(kind, values, (sizes * 2.0**53).astype(np.int64).tolist(), (exponents - 53).tolist())
        integers = [int(x) for x in (elements.view(np.uint8) != 0 if kind.kind == "bool" else elements)]
        return cls(kind, np.array(integers, np.float64), integers, [0] * len(integers))

    @property
    def unit(self) -> int:
        """Power of two of which all finite values are multiples."""
        return min((e for m, e in zip(self.mantissas, self.exponents, strict=True) if m), default=0)

    def in_units(self, unit: int) -> list[Number]:
        """Return each value as an integer in units of ``2**unit``, or as ``nan``, ``inf`` or ``-inf``."""
        finite = iter(m << (e - unit) if m else 0 for m, e in zip(self.mantissas, self.exponents, strict=True))
        return [next(finite) if math.isfinite(x) else str(x) for x in self.values.tolist()]


class Oracle:
    """The exact statistics of a pair; each ``check_...`` fails where what was found is not what is there.

    Args:
        case: The pair.
    """

    def __init__(self, case: Case) -> None:
        layout = case.layout
        self.case = case
        self.layout = layout
        self.sides = Numbers.of(case.old, layout.old_dtype), Numbers.of(case.new, layout.new_dtype)
        self.unit = min(side.unit for side in self.sides)
        self.old, self.new = (side.in_units(self.unit) for side in self.sides)
        self.pairs = [
            (i, a, b)
            for i, (a, b) in enumerate(zip(self.old, self.new, strict=True))
            if isinstance(a, int) and isinstance(b, int)
        ]

    @cached_property
    def deltas(self) -> list[int]:
        """NEW - OLD of the pairs that are both finite."""
        return [b - a for _, a, b in self.pairs]

    def check(self, found: Mapping[str, Any]) -> None:
        """Check all statistics that are known here."""
        checks: dict[str, Callable[[Any], None]] = {
            "changes": self.check_changes,
            "counts": self.check_counts,
            "moments": self.check_moments,
            "higher_moments": self.check_higher_moments,
            "norms": self.check_norms,
            "extrema": self.check_extrema,
        }
        for name in found.keys() & checks.keys():
            checks[name](found[name])

    # -- counts ------------------------------------------------------------------------------------------------

    def check_changes(self, found: Changes) -> None:
        """Elements by how they compare."""
        same_type = self.layout.old_dtype == self.layout.new_dtype
        n_bit_equal = int(np.count_nonzero(np.equal(*self._bits()))) if same_type else 0
        pairs = list(zip(self.old, self.new, strict=True))
        n_changed = sum(a != b for a, b in pairs)
        one_sided = sum((a == "nan") != (b == "nan") for a, b in pairs)
        wanted = (len(pairs), n_bit_equal, n_changed, found.n_above_tol, one_sided)
        assert found == wanted, f"{found} instead of {wanted}"
        least, most = (self._above_tolerance(slack) for slack in (1, -1))
        assert least <= found.n_above_tol <= most, f"n_above_tol={found.n_above_tol} instead of {least} to {most}"

    def _bits(self) -> list[NDArray[Any]]:
        return [_bits(side, self.layout.old_dtype) for side in (self.case.old, self.case.new)]

    def _above_tolerance(self, sign: int) -> int:
        """Count elements not within the tolerance; ``sign`` says on which side borderline ones fall."""
        n_not_finite = sum(a != b for a, b in zip(self.old, self.new, strict=True)) - sum(map(bool, self.deltas))
        if self.layout.tolerance.exact:
            return n_not_finite + sum(map(bool, self.deltas))
        unit, slack = Fraction(2) ** self.unit, sign * Fraction(1, 1 << 50)
        atol, rtol = Fraction(self.layout.tolerance.atol) / unit, Fraction(self.layout.tolerance.rtol)
        return n_not_finite + sum(
            bool(d) and abs(d) > (atol + rtol * abs(a)) * (1 + slack)
            for (_, a, _), d in zip(self.pairs, self.deltas, strict=True)
        )

    def check_counts(self, found: SideCounts) -> None:
        """Special values of each side."""
        for label, side, numbers in (("old", found.old, self.sides[0]), ("new", found.new, self.sides[1])):
            wanted = _value_counts(numbers)
            assert side == wanted, f"{label}: {side} instead of {wanted}"

    def check_extrema(self, found: Extrema) -> None:
        """Least and greatest values, and the largest change."""
        for label, side, low, high in (
            ("old", 0, found.old_min, found.old_max),
            ("new", 1, found.new_min, found.new_max),
        ):
            wanted = self._bounds(side)
            assert repr((low, high)) == repr(wanted), f"{label}: {low!r} to {high!r} instead of {wanted}"
        self._check_peak(found)

    def _bounds(self, side: int) -> tuple[float | None, float | None]:
        finite = [x for x in (self.old, self.new)[side] if isinstance(x, int)]
        if not finite:
            return None, None
        low, high = (Fraction(x) * Fraction(2) ** self.unit for x in (min(finite), max(finite)))
        number = float if self.sides[side].kind.kind == "float" else int
        return number(low), number(high)

    def _check_peak(self, found: Extrema) -> None:
        if not self.deltas:
            assert found[4:] == (None, None, None), f"{found} although no pair is finite"
            return
        rounded = [_rounded(d) for d in self.deltas]
        size = max(map(abs, rounded))
        first = next(i for i, d in enumerate(rounded) if abs(d) == size)
        place = found.max_abs_diff_index
        if self._rounds_twice:
            first = next((i for i, pair in enumerate(self.pairs) if pair[0] == place), first)
            assert abs(abs(rounded[first]) - size) <= size >> 50, f"the largest change is not at {place}"
        assert place == self.pairs[first][0], f"largest change at {place} instead of {self.pairs[first][0]}"
        wanted = Fraction(rounded[first]) * Fraction(2) ** self.unit
        if abs(wanted) > _GREATEST:
            assert (found.max_abs_diff, found.max_diff) == (None, None), f"{found} where float64 cannot hold it"
            return
        assert found.max_diff is not None
        assert found.max_abs_diff == abs(found.max_diff), f"{found.max_abs_diff} and {found.max_diff}"
        error = abs(Fraction(found.max_diff) - wanted)
        assert error <= (abs(wanted) / (1 << 51) if self._rounds_twice else 0), f"{found.max_diff!r}, not {wanted!r}"

    @property
    def _rounds_twice(self) -> bool:
        """Whether the difference of a long integer and a float may be one unit in the last place off."""
        kinds = {side.kind.kind == "float" for side in self.sides}
        return len(kinds) > 1 and any(side.kind.name in {"int64", "uint64"} for side in self.sides)

    # -- sums --------------------------------------------------------------------------------------------------

    def check_moments(self, found: Moments) -> None:
        """Means and centred sums of squares."""
        for label in found._fields:
            _check_centred(getattr(found, label), self.series[label], label)

    def check_higher_moments(self, found: HigherMoments) -> None:
        """Sums of third and fourth powers."""
        for label in ("old", "new", "delta"):
            _check_higher(getattr(found, label), self.series[label], label)

    @cached_property
    def series(self) -> dict[str, Series]:
        """The finite values of each side, the differences, and the values that stand against a finite one."""
        numbers = {
            "old": [x for x in self.old if isinstance(x, int)],
            "new": [x for x in self.new if isinstance(x, int)],
            "delta": self.deltas,
            "old_paired": [a for _, a, _ in self.pairs],
            "new_paired": [b for _, _, b in self.pairs],
        }
        return {label: Series(values, self.unit) for label, values in numbers.items()}

    def check_norms(self, found: Norms) -> None:
        """Sums of magnitudes and products."""
        assert found.n == len(self.pairs), f"{found.n} pairs instead of {len(self.pairs)}"
        old, new, one = [a for _, a, _ in self.pairs], [b for _, _, b in self.pairs], [1] * len(self.pairs)
        signs: dict[str, tuple[Sequence[int], Sequence[int], int]] = {
            "l1_old": (list(map(abs, old)), one, 1),
            "l1_new": (list(map(abs, new)), one, 1),
            "l1_delta": (list(map(abs, self.deltas)), one, 1),
            "dot": (old, new, 2),
            "delta_dot_old": (self.deltas, old, 2),
        }
        for label, (left, right, power) in signs.items():
            _check_products(getattr(found, label), left, right, Fraction(2) ** (power * self.unit), label)


def _bits(elements: NDArray[Any], kind: DType) -> NDArray[Any]:
    """Return the bits of elements as stored in a file, as integers."""
    bits = elements.view(f"u{elements.itemsize}")
    return bits & np.uint8((1 << kind.bits) - 1) if kind.bits < 8 else bits


def _value_counts(numbers: Numbers) -> tuple[int, ...]:
    """Count special values as :class:`ValueCounts` orders them."""
    values, n = numbers.values.tolist(), numbers.values.size
    kinds = Counter(str(x) for x in values if not math.isfinite(x))
    zeros = [x for x in values if x == 0]
    if numbers.kind.kind != "float":
        return n, 0, 0, 0, len(zeros), 0, 0, 0
    normal, finite = _smallest_normal(numbers.kind), [abs(x) for x in values if math.isfinite(x)]
    return (
        *(n, kinds["nan"], kinds["inf"], kinds["-inf"], len(zeros)),
        sum(math.copysign(1, x) < 0 for x in zeros),
        sum(0 < x < normal for x in finite),
        sum(x >= 65520.0 for x in finite),  # half way to what would be the next float16 after the largest
    )


def _smallest_normal(kind: DType) -> float:
    if kind.name in {"float16", "float32", "float64"}:
        return float(np.finfo(kind.numpy).smallest_normal)
    import ml_dtypes

    return float(ml_dtypes.finfo(kind.numpy).smallest_normal)  # type: ignore[no-untyped-call]


def _rounded(number: int) -> int:
    """Round an integer to 53 significant bits, ties to even: what float64 keeps of it."""
    extra = abs(number).bit_length() - 53
    if extra <= 0:
        return number
    return (1 if number > 0 else -1) * (round(Fraction(abs(number), 1 << extra)) << extra)


class Series:
    """Exact sums over integers in units of ``2**unit``, and the errors they allow."""

    def __init__(self, numbers: Sequence[int], unit: int) -> None:
        self.n = len(numbers)
        self.unit = Fraction(2) ** unit
        self.total = sum(numbers)
        self.sizes = sum(map(abs, numbers))
        self.largest = max(map(abs, numbers), default=0)
        self._distances = [self.n * x - self.total for x in numbers]

    @property
    def mean(self) -> Fraction:
        """Arithmetic mean."""
        return Fraction(self.total, self.n) * self.unit

    @cached_property
    def _squares(self) -> list[int]:
        return [y * y for y in self._distances]

    def power(self, p: int) -> Fraction:
        """Return the sum of the ``p``-th powers of the distances from the mean, ``p`` from 2 to 4."""
        others: Sequence[int] = {2: [1] * self.n, 3: self._distances, 4: self._squares}[p]
        return Fraction(sum(map(mul, self._squares, others)), self.n**p) * self.unit**p

    def sizes_of_power(self, p: int) -> Fraction:
        """Return the sum of the ``p``-th powers of the distances without their signs, a little rounded up."""
        if not p:
            return Fraction(self.n)
        shift = max(map(abs, self._distances), default=0).bit_length() - 60  # powers stay inside float64
        scale = Fraction(2) ** max(shift, 0) / self.n * self.unit
        sizes = np.array([abs(y) >> max(shift, 0) for y in self._distances], np.float64)
        return Fraction(1.001 * float(np.sum((sizes + (shift > 0)) ** p))) * scale**p

    def error(self, p: int) -> Fraction:
        """Return the allowed error of :meth:`power`: of the sum, and of all distances because the mean is rounded."""
        slip = _ROUNDING * self.largest * self.unit
        moved = (math.comb(p, k) * slip**k * self.sizes_of_power(p - k) for k in range(1, p + 1))
        return ALLOWED * self.sizes_of_power(p) + sum(moved)


def _check_centred(found: Centred, series: Series, label: str) -> None:
    assert found.n == series.n, f"{label}: {found.n} numbers instead of {series.n}"
    if not series.n:
        return
    scale = Fraction(2) ** found.exponent
    mean = found.pivot + Fraction(found.offset) * scale
    error = ALLOWED * series.sizes * series.unit / series.n + _LEAST * scale
    _assert_near(mean, series.mean, error, f"{label}: mean")
    _assert_near(Fraction(found.m2_scaled) * scale**2, series.power(2), _floored(series, 2, scale), f"{label}: m2")


def _check_higher(found: Higher, series: Series, label: str) -> None:
    _check_centred(found.centred, series, label)
    if not series.n:
        return
    scale = Fraction(2) ** found.centred.exponent
    for p, value in ((3, found.m3_scaled), (4, found.m4_scaled)):
        _assert_near(Fraction(value) * scale**p, series.power(p), _floored(series, p, scale), f"{label}: m{p}")


def _floored(series: Series, p: int, scale: Fraction) -> Fraction:
    return series.error(p) + series.n * _LEAST * scale**p


def _check_products(
    found: float | None, left: Sequence[int], right: Sequence[int], scale: Fraction, label: str
) -> None:
    exact = sum(a * b for a, b in zip(left, right, strict=True)) * scale
    sizes = sum(abs(a * b) for a, b in zip(left, right, strict=True)) * scale
    largest = max(map(abs, left), default=0) * max(map(abs, right), default=0) * scale
    lost = len(left) * _LEAST * (1 + 16 * largest)  # what float64 cannot hold beside the largest
    error = ALLOWED * sizes + lost
    if found is None:
        assert abs(exact) + error > _GREATEST or abs(exact) <= error + _LEAST, f"{label}: None, not {_shown(exact)}"
    else:
        _assert_near(Fraction(found), exact, error, label)


def _assert_near(found: Fraction, wanted: Fraction, error: Fraction, label: str) -> None:
    assert abs(found - wanted) <= error, (
        f"{label} is {_shown(found)} instead of {_shown(wanted)} (off by {_shown(abs(found - wanted))},"
        f" allowed {_shown(error)})"
    )


def _shown(number: Fraction) -> str:
    try:
        return f"{float(number):.17g}"
    except OverflowError:
        return f"about 2**{number.numerator.bit_length() - number.denominator.bit_length()}"
