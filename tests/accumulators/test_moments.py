"""Mean, spread and size, against exact fractions and long double; higher moments against SciPy."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

from diffai_core.dtypes import DTYPE_NAMES, dtype


def close(value, rel=1e-13):
    return pytest.approx(float(value), rel=rel, abs=0)


def exact_sums(values):
    """Return mean and centred sum of squares of Python numbers as fractions."""
    numbers = [Fraction(x) for x in values]
    mean = sum(numbers) / len(numbers)
    return mean, sum(x * x for x in numbers) - len(numbers) * mean * mean


def assert_series(centred, values):
    mean, m2 = exact_sums(values)
    scale = max(abs(Fraction(x)) for x in values) or 1
    assert centred.n == len(values)
    assert abs(Fraction(centred.mean) - mean) <= scale * Fraction(1, 10**15)
    if m2:
        assert centred.std / math.sqrt(m2 / len(values) / scale**2) == close(scale)
    else:
        assert centred.std == 0


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_mean_and_spread_agree_with_exact_fractions_for_every_dtype(tools, name):
    rng = np.random.default_rng(1)
    old, new = (tools.elements(name, 500, rng) for _ in range(2))
    result = tools.measure("moments", old, new, name)
    a, b = tools.exact_values(old, name), tools.exact_values(new, name)
    both = [(x, y) for x, y in zip(a, b, strict=True) if math.isfinite(x) and math.isfinite(y)]
    assert_series(result.old, [x for x in a if math.isfinite(x)])
    assert_series(result.new, [x for x in b if math.isfinite(x)])
    assert_series(result.old_paired, [x for x, _ in both])
    assert_series(result.new_paired, [y for _, y in both])
    assert_series(result.delta, [Fraction(y) - Fraction(x) for x, y in both])
    assert result.n_finite_pairs == len(both)


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
def test_relations_agree_with_long_double_over_many_leaves(tools, name):
    rng = np.random.default_rng(2)
    shape = (50, 3000)
    old = (rng.standard_normal(shape) + 0.1).astype(dtype(name).numpy)
    new = (old.astype("f8") * 1.01 + 0.05 * rng.standard_normal(shape)).astype(dtype(name).numpy)
    result = tools.measure("moments", old, new, name)
    a, b = (x.astype(np.float64).astype(np.longdouble).ravel() for x in (old, new))
    norm_a, norm_b, norm_d = (np.sqrt((x * x).sum()) for x in (a, b, b - a))
    assert result.rel_change == close(norm_d / norm_a)
    assert result.norm_ratio == close(norm_b / norm_a)
    assert result.one_minus_cos == close(1 - (a * b).sum() / (norm_a * norm_b), 1e-12)
    a, b = a - a.mean(), b - b.mean()
    pearson = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert result.centred_one_minus_cos == close(1 - pearson, 1e-12)
    assert result.centred_cos == close(pearson)
    assert result.old.norm == close(norm_a)
    assert result.old.rms == close(norm_a / np.sqrt(old.size))


def test_variance_survives_an_offset_of_1e5_standard_deviations(tools):
    rng = np.random.default_rng(3)
    old = 1e5 + rng.standard_normal(200_000)
    new = old + 3.0
    result = tools.measure("moments", old, new, "float64")
    expected = old.astype(np.longdouble).var()
    assert result.old.variance == close(expected, 1e-12)
    assert result.delta.std < 1e-10


def test_one_minus_cos_is_exact_at_a_relative_change_of_1e_minus_7(tools):
    rng = np.random.default_rng(4)
    old = rng.standard_normal(100_000)
    new = old + 1e-7 * rng.standard_normal(100_000)
    result = tools.measure("moments", old, new, "float64")
    a, b = old.astype(np.longdouble), new.astype(np.longdouble)
    dot, aa, bb = (x.sum() for x in (a * (b - a), a * a, b * b))
    sine_squared = ((b - a) ** 2).sum() / bb - dot * dot / aa / bb
    expected = sine_squared / (1 + np.sqrt(1 - sine_squared))
    assert result.one_minus_cos == close(expected, 1e-5)
    assert 4e-15 < result.one_minus_cos < 6e-15


def test_a_constant_has_exactly_no_spread_however_it_is_cut(tools):
    old = np.full((3, 40_000), 0.1, "f4")
    result = tools.measure("moments", old, old + np.float32(1), "float32")
    assert result.old.mean == np.float32(0.1)
    assert result.old.std == 0
    assert result.centred_cos is None
    assert result.delta.std == 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([0.0, 0.0], [0.0, 0.0], (None, None, None)),
        ([0.0, 0.0], [1.0, 0.0], (None, None, None)),
        ([3.0, 4.0], [0.0, 0.0], (1.0, 0.0, None)),
        ([3.0, 4.0], [3.0, 4.0], (0.0, 1.0, 0.0)),
        ([3.0, 4.0], [-3.0, -4.0], (2.0, 1.0, 2.0)),
        ([3.0, 4.0], [6.0, 8.0], (1.0, 2.0, 0.0)),
        ([1.0, 0.0], [0.0, 1.0], (math.sqrt(2), 1.0, 1.0)),
    ],
)
def test_what_does_not_exist_is_none(tools, old, new, expected):
    result = tools.measure("moments", np.array(old), np.array(new), "float64")
    for value, wanted in zip((result.rel_change, result.norm_ratio, result.one_minus_cos), expected, strict=True):
        assert value == (wanted if wanted is None else pytest.approx(wanted, abs=1e-15))


@pytest.mark.parametrize(("factor", "known"), [(1e-3, True), (1e3, True), (1e-6, False), (1e6, False)])
def test_the_angle_between_sides_of_incomparable_size_is_none_and_never_wrong(tools, factor, known):
    rng = np.random.default_rng(9)
    old, new = rng.standard_normal(5000), rng.standard_normal(5000)
    expected = 1 - old @ new / np.linalg.norm(old) / np.linalg.norm(new)
    result = tools.measure("moments", old, new * factor, "float64").one_minus_cos
    assert result == (pytest.approx(expected, rel=1e-11) if known else None)


def test_nothing_finite_and_nothing_at_all_give_none(tools):
    for old in (np.array([math.nan, math.inf]), np.empty(0)):
        result = tools.measure("moments", old, old, "float64")
        assert (result.old.mean, result.old.std, result.rel_change, result.one_minus_cos) == (None, None, None, None)
        assert result.n_finite_pairs == 0


def test_one_nan_masks_its_own_pair_only(tools):
    old, new = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, math.nan, 3.0, 6.0])
    result = tools.measure("moments", old, new, "float64")
    assert (result.old.mean, result.new.mean, result.delta.mean) == (2.5, close(10 / 3), close(2 / 3))
    assert result.rel_change == close(2 / math.sqrt(26))


EXTREMES = [
    [1e300, -2e300, 3e300], [1.7e308, -1.7e308, 1e308], [5e-324, 0.0, 1e-323], [1e-200, 2e-200, -1e-200],
    [1e300, 1e-300, 5e-324], [1e200, 1.0, 1e-200], [1e-60, 1e60, 1e-61],
]  # fmt: skip


@pytest.mark.parametrize("old", EXTREMES)
@pytest.mark.parametrize("new", EXTREMES)
@pytest.mark.parametrize("repeats", [1, 40_000])
def test_squares_outside_float64_never_give_a_wrong_number(tools, old, new, repeats):
    a, b = np.repeat(old, repeats), np.repeat(new, repeats)  # the larger one makes leaves of different scale
    result = tools.measure("moments", a, b, "float64")
    series = [[Fraction(x) for x in side] for side in (old, new)]
    series.append([y - x for x, y in zip(*series, strict=True)])
    squares = [sum(x * x for x in side) for side in series]
    assert_number(result.rel_change, root(squares[2] / squares[0]))
    assert_number(result.norm_ratio, root(squares[1] / squares[0]))
    for centred, values in zip((result.old, result.new, result.delta), series, strict=True):
        mean = sum(values) / 3
        variance = sum((x - mean) ** 2 for x in values) / 3
        assert_number(centred.std, root(variance))
        assert_number(centred.m2, variance * 3 * repeats)
        assert_number(centred.norm, root(sum(x * x for x in values) * repeats))


def root(number):
    """Return the square root of a fraction, as a fraction, to 50 bits."""
    shift = (number.numerator.bit_length() - number.denominator.bit_length()) // 2
    return Fraction(math.sqrt(number / Fraction(4) ** shift)) * Fraction(2) ** shift


def assert_number(value, exact):
    """Check that ``value`` is ``exact``, or None where float64 has no such number."""
    if value is None:
        assert exact > Fraction(np.finfo(np.float64).max.item()) or 0 < exact < Fraction(5e-324)
    else:
        assert abs(Fraction(value) - exact) <= exact / 10**12 + Fraction(5e-324)


def test_the_spread_of_long_integers_is_exact(tools):
    rng = np.random.default_rng(5)
    offsets = rng.integers(0, 1000, 100_000)
    old, new = 2**62 + offsets, 2**62 + offsets[::-1]
    result = tools.measure("moments", old, new, "int64")
    assert result.old.std == close(offsets.astype(np.longdouble).std(), 1e-12)
    assert result.centred_cos == close(np.corrcoef(offsets, offsets[::-1])[0, 1], 1e-9)
    assert result.old.mean == close(2**62)


def test_complex_elements_count_as_two_values(tools):
    rng = np.random.default_rng(6)
    old, new = (tools.moderate("complex128", 1000, rng) for _ in range(2))
    result = tools.measure("moments", old, new, "complex128")
    assert result.old.n == 2000
    assert result.rel_change == close(np.linalg.norm(new - old) / np.linalg.norm(old))
    real = tools.measure("moments", old, new.real.copy(), "complex128", "float64")
    assert real.rel_change == close(np.linalg.norm(new.real - old) / np.linalg.norm(old))


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64", "int16", "complex64"])
def test_skewness_and_kurtosis_agree_with_scipy(tools, name):
    rng = np.random.default_rng(7)
    old = np.exp(tools.moderate(name, 80_000, rng).astype(np.float64).astype("f4") / 2).astype(dtype(name).numpy) \
        if dtype(name).kind == "float" else tools.moderate(name, 80_000, rng)  # fmt: skip
    new = tools.moderate(name, 80_000, rng)
    result = tools.measure("higher_moments", old, new, name)
    a, b = (np.array(tools.exact_values(x, name), np.float64) for x in (old, new))
    for higher, values in zip(result, (a, b, b - a), strict=True):
        assert higher.skew == pytest.approx(scipy.stats.skew(values), rel=1e-10, abs=1e-12)
        assert higher.ex_kurtosis == pytest.approx(scipy.stats.kurtosis(values), rel=1e-10, abs=1e-12)


def test_higher_moments_survive_extreme_scales_and_offsets(tools):
    rng = np.random.default_rng(8)
    base = rng.exponential(size=70_000)
    for scale in (1e-310, 1e-150, 1.0, 1e150, 1e305):
        result = tools.measure("higher_moments", base * scale, base * scale, "float64")
        rel = 1e-3 if scale < 1e-300 else 1e-10  # denormals have few digits
        assert result.old.skew == pytest.approx(scipy.stats.skew(base), rel=rel)
        assert result.old.ex_kurtosis == pytest.approx(scipy.stats.kurtosis(base), rel=rel)
        assert (result.delta.skew, result.delta.m3) == (None, 0.0)
    shifted = tools.measure("higher_moments", base + 1e5, base, "float64").old
    assert shifted.skew == pytest.approx(scipy.stats.skew((base + 1e5).astype(np.longdouble)), rel=1e-9)
