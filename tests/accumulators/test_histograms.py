"""Distributions, against sorting and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from diffai_core.dtypes import DTYPE_NAMES, dtype

Q = np.array([0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1])


@pytest.mark.parametrize("name", DTYPE_NAMES)
@pytest.mark.parametrize("size", [1, 300, 6000])
def test_quantiles_agree_with_sorting_exactly_or_to_the_width_of_a_bin(tools, name, size):
    rng = np.random.default_rng(21)
    old, new = (tools.moderate(name, size, rng) for _ in range(2))
    result = tools.measure("histograms", old, new, name)
    for histogram, side in ((result.old, old), (result.new, new)):
        values = np.array(tools.exact_values(side, name), np.float64)
        assert histogram.n == values.size
        quantiles = np.quantile(values, Q)
        if histogram.exact:
            assert histogram.quantiles(Q) == pytest.approx(quantiles, rel=1e-14)
            assert histogram.n_distinct == len(np.unique(values))
        else:
            order = np.sort(values)
            neighbours = np.maximum(*(np.abs(order[f(Q * (values.size - 1)).astype(int)]) for f in (np.floor, np.ceil)))
            assert (np.abs(histogram.quantiles(Q) - quantiles) <= 0.004 * neighbours + 1e-40).all()
            assert histogram.n_distinct is None


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_the_distribution_of_16_bit_floats_is_exact_whatever_the_bits(tools, name):
    rng = np.random.default_rng(22)
    old = tools.elements(name, 100_000, rng)
    values = np.array(tools.exact_values(old, name))
    values = values[np.isfinite(values)]
    histogram = tools.measure("histograms", old, old, name).old
    distinct, counts = np.unique(values, return_counts=True)
    assert np.array_equal(histogram.values, distinct)
    assert np.array_equal(histogram.counts, counts)
    q = rng.random(50)
    assert histogram.quantiles(q) == pytest.approx(np.quantile(values, q), rel=1e-9)
    assert histogram.entropy_bits == pytest.approx(scipy.stats.entropy(counts, base=2), rel=1e-12)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e5m2", "int8"])
def test_distances_of_distributions_agree_with_scipy(tools, name):
    rng = np.random.default_rng(23)
    old, new = tools.moderate(name, 5000, rng), tools.moderate(name, 5000, rng)
    new = (new.astype("f4") * 1.5 + 0.5).astype(dtype(name).numpy)
    result = tools.measure("histograms", old, new, name)
    a, b = (np.array(tools.exact_values(x, name), np.float64) for x in (old, new))
    assert result.ks_d == pytest.approx(scipy.stats.ks_2samp(a, b).statistic, rel=1e-12)
    assert result.w1 == pytest.approx(scipy.stats.wasserstein_distance(a, b), rel=1e-12)
    support = np.union1d(a, b)
    p, q = ((x[:, None] == support).mean(axis=0) for x in (a, b))
    expected = scipy.stats.entropy(p, (p + q) / 2, base=2) / 2 + scipy.stats.entropy(q, (p + q) / 2, base=2) / 2
    assert result.js_bits == pytest.approx(expected, rel=1e-9)


def test_distances_of_float32_are_those_of_scipy_to_the_width_of_a_bin(tools):
    rng = np.random.default_rng(24)
    old, new = rng.standard_normal(50_000).astype("f4"), (rng.standard_normal(50_000) * 1.2).astype("f4")
    result = tools.measure("histograms", old, new, "float32")
    assert result.w1 == pytest.approx(scipy.stats.wasserstein_distance(old, new), rel=1e-3)
    assert result.ks_d == pytest.approx(scipy.stats.ks_2samp(old, new).statistic, abs=2e-3)


def test_equal_sides_are_no_distance_apart(tools):
    rng = np.random.default_rng(25)
    old = tools.moderate("float32", 10_000, rng)
    result = tools.measure("histograms", old, old.copy(), "float32")
    assert (result.ks_d, result.w1, result.js_bits) == (0, 0, 0)
    assert np.array_equal(result.delta.values, [0])


def test_the_difference_has_a_distribution_too(tools):
    rng = np.random.default_rng(26)
    old, new = (tools.moderate("float32", 40_000, rng) for _ in range(2))
    delta = new.astype("f8") - old
    result = tools.measure("histograms", old, new, "float32")
    assert result.delta.quantiles([0.1, 0.5, 0.9]) == pytest.approx(np.quantile(delta, [0.1, 0.5, 0.9]), rel=5e-3)


def test_sides_of_other_resolution_are_not_compared(tools):
    old = np.linspace(0, 1, 100, dtype="f4")
    result = tools.measure("histograms", old, old.astype("f2"), "float32", "float16")
    assert (result.ks_d, result.w1, result.js_bits) == (None, None, None)


def test_no_finite_value_has_no_distribution(tools):
    old = np.array([math.nan, math.inf], "f4")
    result = tools.measure("histograms", old, old, "float32")
    assert (result.old.n, result.old.entropy_bits, result.ks_d) == (0, None, None)
    assert np.isnan(result.old.quantiles(0.5))


def test_values_beyond_float32_are_infinite_and_make_no_distance(tools):
    old = np.array([-1e300, 0.0, 1e300, 1.0, -1.7e308])
    result = tools.measure("histograms", old, -old, "float64")
    assert np.array_equal(result.old.quantiles([0, 0.5, 1]), [-math.inf, 0, math.inf])
    assert result.w1 is None


def test_bin_edges_are_sharp_for_float64(tools):
    edge = 1.0078125  # the first value of the second bin above 1
    old = np.array([np.nextafter(edge, 0), edge])
    assert tools.measure("histograms", old, old, "float64").old.keys.tolist() == [0x3F80, 0x3F81]
