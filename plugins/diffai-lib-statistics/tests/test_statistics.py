"""The statistics, against SciPy, statsmodels' numbers, brute force and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from diffai_lib_statistics import (
    detrended,
    family_wise_threshold,
    holm,
    mann_kendall,
    mean_interval,
    normal_interval,
    robust_z,
    slope_interval,
    theil_sen,
    welch,
    wilson,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

RNG = np.random.default_rng(5)
SERIES = st.lists(st.integers(-6, 6).map(float), min_size=3, max_size=40)


def test_robust_z_agrees_with_scipy() -> None:
    values = RNG.standard_t(3, 51)
    wanted = (values - np.median(values)) / stats.median_abs_deviation(values, scale="normal")
    assert robust_z(values) == pytest.approx(wanted, rel=1e-12)


def test_robust_z_of_equal_values_is_zero_and_of_the_odd_one_infinite() -> None:
    assert robust_z([2.0, 2.0, 2.0, 3.0]).tolist() == [0, 0, 0, math.inf]
    assert robust_z([2.0, 2.0, 2.0, 1.0], floor=0.5).tolist() == pytest.approx([0, 0, 0, -1.349], rel=1e-3)
    assert robust_z([]).tolist() == []


def test_the_thresholds_are_those_published_for_families() -> None:
    five = {6: 5.5, 8: 4.9, 12: 4.3, 24: 3.9, 32: 3.85, 48: 3.75, 96: 3.75}
    one = {6: 10.1, 8: 7.8, 12: 6.2, 24: 5.0, 32: 4.8, 48: 4.5, 96: 4.25}
    for n in five:
        assert family_wise_threshold(n, 0.05) == pytest.approx(five[n], rel=0.03)
        assert family_wise_threshold(n, 0.01) == pytest.approx(one[n], rel=0.05)


@pytest.mark.parametrize("n", [6, 9, 14, 28, 70, 300])
def test_a_family_of_normal_values_is_flagged_once_in_twenty(n: int) -> None:
    rng = np.random.default_rng(n)
    families = rng.standard_normal((4000, n))
    flagged = [np.abs(robust_z(family)).max() > family_wise_threshold(n) for family in families]
    assert np.mean(flagged) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("n", [8, 13, 28])
def test_residuals_of_a_trend_are_flagged_once_in_twenty(n: int) -> None:
    rng, depth = np.random.default_rng(n), np.arange(n)
    families = rng.standard_normal((1500, n)) + 0.7 * depth
    limit = family_wise_threshold(n, after_trend=True)
    flagged = [np.abs(robust_z(detrended(depth, family))).max() > limit for family in families]
    assert np.mean(flagged) == pytest.approx(0.05, abs=0.02)


def test_an_outlier_on_a_depth_slope_is_found_after_detrending_only() -> None:
    rng, depth = np.random.default_rng(3), np.arange(24.0)
    found = [0, 0]
    for _ in range(200):
        values = 0.5 * depth + rng.standard_normal(24)
        values[11] += 8
        found[0] += abs(robust_z(values)[11]) > family_wise_threshold(24)
        found[1] += abs(robust_z(detrended(depth, values))[11]) > family_wise_threshold(24, after_trend=True)
    assert found[0] == 0
    assert found[1] > 190


def test_thresholds_grow_with_the_family_and_fall_with_the_rate() -> None:
    assert family_wise_threshold(2) == math.inf
    assert family_wise_threshold(4, after_trend=True) == math.inf
    large = [family_wise_threshold(n) for n in (100, 1000, 10_000, 1_000_000)]
    assert large == sorted(large)
    assert large[-1] == pytest.approx(stats.norm.isf(0.05 / 2 / 1e6), rel=0.01)
    assert family_wise_threshold(12, 0.01) > family_wise_threshold(12, 0.02) > family_wise_threshold(12, 0.05)
    with pytest.raises(ValueError, match="rates from"):
        family_wise_threshold(12, 0.2)


@given(y=SERIES, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_theil_sen_agrees_with_scipy_also_with_ties(y: list[float], seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 12, len(y)).astype(float)
    if np.ptp(x) == 0:
        return
    wanted = stats.theilslopes(y, x, alpha=0.95)
    found = theil_sen(x, y)
    assert found[:2] == pytest.approx((wanted.slope, wanted.intercept), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((wanted.low_slope, wanted.high_slope), abs=1e-12)


def test_theil_sen_of_many_points_is_linear_and_finds_the_slope() -> None:
    x = np.arange(50_000.0)
    y = 0.25 * x + RNG.standard_normal(len(x)) * 1000
    y[::10] += 1e6
    found = theil_sen(x, y)
    assert found.slope == pytest.approx(0.25, abs=0.01)
    assert found.low < 0.25 < found.high
    assert not found.is_flat
    assert theil_sen([0.0] * 2000 + [1.0], np.arange(2001.0)).slope == pytest.approx(1000.5, abs=1)


def test_the_interval_of_theil_sen_holds_nineteen_times_in_twenty() -> None:
    rng, held = np.random.default_rng(8), []
    for n in [15] * 400 + [1500] * 200:
        x = np.arange(float(n))
        trend = theil_sen(x, 2 * x + rng.standard_t(2, n))
        held.append(trend.low <= 2 <= trend.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


@given(y=st.lists(st.integers(0, 50).map(float), min_size=3, max_size=700))
@settings(deadline=None, max_examples=40, derandomize=True)
def test_mann_kendall_counts_rises_and_falls_as_brute_force_does(y: list[float]) -> None:
    series = np.asarray(y)
    pairs = np.sign(series[None, :] - series[:, None])
    assert mann_kendall(y).s == int(np.triu(pairs, 1).sum())


def test_mann_kendall_agrees_with_kendalls_tau_of_scipy() -> None:
    for n in (30, 1000):
        y = np.round(RNG.standard_normal(n) + np.arange(n) / n, 1)
        found = mann_kendall(y)
        tau = stats.kendalltau(np.arange(n), y, method="asymptotic")
        without_continuity = found.z * found.s / (found.s - np.sign(found.s))
        assert stats.norm.sf(abs(without_continuity)) * 2 == pytest.approx(tau.pvalue, rel=1e-9)
    assert mann_kendall([1.0, 1.0, 1.0])[:3] == (0, 0.0, 1.0)


def test_the_mean_interval_is_students() -> None:
    values = RNG.standard_normal(9)
    wanted = stats.t.interval(0.9, 8, values.mean(), stats.sem(values))
    assert mean_interval(values, 0.9)[1:3] == pytest.approx(wanted, rel=1e-12)
    assert mean_interval(values).contains(float(values.mean()))


def test_wilson_agrees_with_scipy_at_every_count() -> None:
    for n in (1, 7, 40):
        for k in range(n + 1):
            wanted = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
            assert wilson(k, n)[:3] == pytest.approx((k / n, wanted.low, wanted.high), abs=1e-12)


def test_the_normal_interval_is_that_of_scipy() -> None:
    assert normal_interval(2.0, 0.5, 100)[1:3] == pytest.approx(stats.norm.interval(0.95, 2.0, 0.5), rel=1e-12)


def test_welch_agrees_with_scipy() -> None:
    a, b = RNG.standard_normal(7), RNG.standard_normal(12) * 3 + 1
    wanted = stats.ttest_ind(b, a, equal_var=False)
    limits = wanted.confidence_interval(0.95)
    found = welch(a, b)
    assert found[1:6] == pytest.approx((limits.low, limits.high, wanted.statistic, wanted.df, wanted.pvalue), rel=1e-10)
    with pytest.raises(ValueError, match="spread"):
        welch([1.0, 1.0], [2.0, 2.0])


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60, derandomize=True)
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    indices = range(len(p))
    closed = [
        max(
            min(1.0, len(group) * min(p[i] for i in group))
            for size in range(1, len(p) + 1)
            for group in itertools.combinations(indices, size)
            if index in group
        )
        for index in indices
    ]
    assert holm(p) == pytest.approx(closed, abs=1e-12)


STATSMODELS_Y = [2.31, 2.05, 2.11, 1.87, 1.95, 1.62, 1.71, 1.55, 1.43, 1.52, 1.31, 1.38]
STATSMODELS_ERRORS = [
    (0, 0.008213463512387173),
    (1, 0.005841952230751957),
    (3, 0.005969585141468807),
    (6, 0.005628168180430125),
]
"""``OLS(...).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True}).bse[1]`` of statsmodels 0.15.0."""


@pytest.mark.parametrize(("lags", "error"), STATSMODELS_ERRORS)
def test_the_newey_west_error_is_that_of_statsmodels(lags: int, error: float) -> None:
    found = slope_interval(STATSMODELS_Y, lags=lags)
    assert found.slope == pytest.approx(np.polyfit(range(12), STATSMODELS_Y, 1)[0], rel=1e-12)
    assert found.standard_error == pytest.approx(error, rel=1e-9)


def _ar1(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    noise, series = rng.standard_normal(n + 100), np.zeros(n + 100)
    for i in range(1, n + 100):
        series[i] = rho * series[i - 1] + noise[i]
    return series[100:]


@pytest.mark.parametrize(("n", "rho", "least"), [(50, 0.0, 0.93), (200, 0.8, 0.90), (300, 0.9, 0.89)])
def test_the_slope_interval_of_a_dependent_series_holds_about_as_often_as_it_says(
    n: int, rho: float, least: float
) -> None:
    rng = np.random.default_rng(1)
    held = np.mean([slope_interval(_ar1(rng, n, rho)).is_flat for _ in range(300)])
    assert held >= least
    if rho:
        naive = [stats.linregress(np.arange(n), _ar1(rng, n, rho)).pvalue > 0.05 for _ in range(100)]
        assert np.mean(naive) < held - 0.2


def test_a_slope_over_steps_is_per_step() -> None:
    steps = np.arange(0, 2000, 100.0)
    found = slope_interval(3 - 0.001 * steps + 0.01 * RNG.standard_normal(20), steps)
    assert found.low < -0.001 < found.high < 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: robust_z([1.0, math.nan]), "NaN or infinite"),
        (lambda: detrended([1.0], [1.0, 2.0]), "1 depths for 2 values"),
        (lambda: theil_sen([1.0, 1.0], [1.0, 2.0]), "all x are equal"),
        (lambda: theil_sen([1.0, 2.0], [1.0]), "at least 2"),
        (lambda: mann_kendall([1.0]), "at least 3"),
        (lambda: mean_interval([[1.0]]), "2 dimensions"),
        (lambda: mean_interval([1.0, 2.0], level=1.0), "between 0 and 1"),
        (lambda: wilson(3, 2), "3 successes of 2"),
        (lambda: normal_interval(0.0, -1.0, 3), "standard error"),
        (lambda: holm([1.5]), "between 0 and 1"),
        (lambda: slope_interval([1.0] * 9, [1.0] * 9), "all x are equal"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_a_perfect_line_has_no_error() -> None:
    found = slope_interval(np.arange(10.0))
    assert (found.slope, found.standard_error) == (1.0, pytest.approx(0, abs=1e-12))
