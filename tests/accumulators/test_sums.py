"""Norms, special values and extremes, against loops and NumPy."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from diffai_core.dtypes import DTYPE_NAMES, dtype


def finite_pairs(tools, old, new, name):
    pairs = zip(tools.exact_values(old, name), tools.exact_values(new, name), strict=True)
    return [(Fraction(a), Fraction(b)) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_norms_and_dot_products_agree_with_exact_fractions(tools, name):
    rng = np.random.default_rng(11)
    old, new = (tools.elements(name, 400, rng) for _ in range(2))
    result = tools.measure("norms", old, new, name)
    pairs = finite_pairs(tools, old, new, name)
    limit = Fraction(np.finfo(np.float64).max.item())
    terms = {
        "l1_old": [abs(a) for a, _ in pairs],
        "l1_new": [abs(b) for _, b in pairs],
        "l1_delta": [abs(b - a) for a, b in pairs],
        "dot": [a * b for a, b in pairs],
        "delta_dot_old": [(b - a) * a for a, b in pairs],
    }
    assert result.n == len(pairs)
    for field, parts in terms.items():
        value, exact = getattr(result, field), sum(parts)
        if value is None:
            assert abs(exact) > limit
        else:
            assert abs(Fraction(value) - exact) <= Fraction(1, 10**12) * sum(abs(part) for part in parts)


def test_the_mean_difference_is_that_of_numpy_over_many_leaves(tools):
    rng = np.random.default_rng(12)
    old, new = (rng.standard_normal((90, 1000)).astype("f4") for _ in range(2))
    result = tools.measure("norms", old, new, "float32")
    assert result.mean_abs_diff == pytest.approx(np.abs(new.astype("f8") - old).mean(), rel=1e-13)
    assert tools.measure("norms", old[:0], new[:0], "float32").mean_abs_diff is None


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_special_values_are_counted_as_a_loop_counts_them(tools, name):
    rng = np.random.default_rng(13)
    old, new = (tools.elements(name, 2000, rng) for _ in range(2))
    kind = dtype(name)
    if kind.kind == "float" and kind.bits > 8:
        old[:6] = np.array([0.0, -0.0, math.nan, math.inf, -math.inf, 65504.0], kind.numpy)
    result = tools.measure("counts", old, new, name)
    for counts, side in ((result.old, old), (result.new, new)):
        values = tools.exact_values(side, name)
        assert counts.n == len(values)
        assert counts.n_nan == sum(map(math.isnan, values))
        assert counts.n_pos_inf == sum(x == math.inf for x in values)
        assert counts.n_neg_inf == sum(x == -math.inf for x in values)
        assert counts.n_zero == sum(x == 0 for x in values)
        assert counts.n_finite == sum(math.isfinite(x) for x in values)
        if kind.kind in ("float", "complex"):
            limits = np.finfo(kind.numpy) if name.startswith(("float16", "float32", "float64", "complex")) \
                else ml_dtypes.finfo(kind.numpy)  # fmt: skip
            normal = float(limits.smallest_normal)
            assert counts.n_neg_zero == sum(x == 0 and math.copysign(1, x) < 0 for x in values)
            assert counts.n_subnormal == sum(0 < abs(x) < normal for x in values)
            with np.errstate(all="ignore"):
                overflow = np.isinf(np.array(values).astype(np.float16)) & np.isfinite(values)
            assert counts.n_float16_overflow == np.count_nonzero(overflow)


@pytest.mark.parametrize("name", DTYPE_NAMES)
def test_extremes_agree_with_a_loop_for_every_dtype(tools, name):
    rng = np.random.default_rng(14)
    old, new = (tools.elements(name, 700, rng) for _ in range(2))
    result = tools.measure("extrema", old, new, name)
    parts = 2 if dtype(name).kind == "complex" else 1
    a, b = tools.exact_values(old, name), tools.exact_values(new, name)
    for values, low, high in ((a, result.old_min, result.old_max), (b, result.new_min, result.new_max)):
        finite = [x for x in values if math.isfinite(x)]
        assert (low, high) == (min(finite), max(finite))
    deltas = {
        i: Fraction(y) - Fraction(x)
        for i, (x, y) in enumerate(zip(a, b, strict=True))
        if math.isfinite(x) and math.isfinite(y)
    }
    rounded = {i: float(delta) for i, delta in deltas.items()}
    place = max(rounded, key=lambda i: (abs(rounded[i]), -i))
    assert result.max_abs_diff == abs(rounded[place])
    assert result.max_abs_diff_index == place // parts
    assert result.max_diff == rounded[place]


def test_the_first_of_equal_largest_differences_is_reported_with_its_sign(tools):
    old, new = np.zeros(100_000, "f4"), np.zeros(100_000, "f4")
    new[[20, 50, 40_000, 99_999]] = -2, 2, 2, 2
    result = tools.measure("extrema", old, new, "float32")
    assert (result.max_abs_diff, result.max_abs_diff_index, result.max_diff) == (2.0, 20, -2.0)


def test_the_index_counts_elements_that_are_not_finite_too(tools):
    old, new = np.zeros(10), np.zeros(10)
    old[:5], new[7] = math.nan, 3.0
    assert tools.measure("extrema", old, new, "float64").max_abs_diff_index == 7


def test_long_integers_have_exact_extremes(tools):
    old, new = np.array([-(2**63), 2**63 - 1]), np.array([2**63 - 1, 2**63 - 2])
    result = tools.measure("extrema", old, new, "int64")
    assert (result.old_min, result.old_max, result.new_min) == (-(2**63), 2**63 - 1, 2**63 - 2)
    assert (result.max_abs_diff, result.max_abs_diff_index) == (2.0**64, 0)


def test_a_difference_beyond_float64_is_none_at_a_known_place(tools):
    old, new = np.array([0.0, 1.5e308, 0.0]), np.array([1.0, -1.5e308, 0.0])
    result = tools.measure("extrema", old, new, "float64")
    assert (result.max_abs_diff, result.max_abs_diff_index, result.max_diff) == (None, 1, None)


def test_no_finite_pair_has_no_largest_difference(tools):
    result = tools.measure("extrema", np.array([math.nan, 1.0]), np.array([1.0, math.inf]), "float64")
    assert tuple(result) == (1.0, 1.0, 1.0, 1.0, None, None, None)


def test_equal_tensors_have_a_largest_difference_of_zero_at_the_first_element(tools):
    result = tools.measure("extrema", np.ones(5), np.ones(5), "float64")
    assert (result.max_abs_diff, result.max_abs_diff_index, result.max_diff) == (0.0, 0, 0.0)
