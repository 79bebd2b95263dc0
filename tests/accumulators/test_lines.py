"""Rows, columns, quantisation groups and sparsity, against NumPy on the whole matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffai_core.dtypes import dtype

SHAPES = [(1, 1), (3, 1), (40_000, 3), (5, 17), (90, 1000), (2, 70_000), (7, 3, 5, 2), (33, 16), (4, 0), (0, 4)]


def matrices(tools, shape, name, seed=41):
    rng = np.random.default_rng(seed)
    old, new = (tools.moderate(name, math.prod(shape), rng).reshape(shape) for _ in range(2))
    if old.size > 4:
        old.reshape(-1)[::3] = new.reshape(-1)[::3]
        old.reshape(-1)[1::5] = 0
        new.reshape(-1)[2::7] = 0
    return old, new


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["float32", "bfloat16", "int64", "complex64"])
@pytest.mark.parametrize(("accumulator", "axis"), [("rows", 1), ("columns", 0)])
def test_sums_along_lines_agree_with_numpy(tools, shape, name, accumulator, axis):
    old, new = matrices(tools, shape, name)
    result = tools.measure(accumulator, old, new, name)
    wide = np.complex128 if name == "complex64" else np.float64
    a, b = (x.reshape(shape[0], math.prod(shape[1:])).astype(wide) for x in (old, new))
    assert result.n_lines == a.shape[1 - axis]
    assert result.length == a.shape[axis]
    for field, expected in {
        "old_sq": np.abs(a) ** 2,
        "new_sq": np.abs(b) ** 2,
        "delta_sq": np.abs(b - a) ** 2,
        "dot": (a.conj() * b).real,
    }.items():
        np.testing.assert_allclose(getattr(result, field), expected.sum(axis=axis), rtol=1e-12, atol=1e-10)
    parts = [np.maximum(np.abs(x.real), np.abs(x.imag)) for x in (a, b, b - a)]
    for field, expected in zip(("old_max_abs", "new_max_abs", "delta_max_abs"), parts, strict=True):
        assert np.array_equal(getattr(result, field), expected.max(axis=axis, initial=0))
    for field, expected in {"n_zero_old": a == 0, "n_zero_new": b == 0, "n_changed": a != b}.items():
        assert np.array_equal(getattr(result, field), expected.sum(axis=axis))


def test_relations_of_lines_agree_with_numpy(tools):
    rng = np.random.default_rng(42)
    old = rng.standard_normal((50, 1000))
    new = old * rng.uniform(0.5, 2, (50, 1)) + 1e-3 * rng.standard_normal((50, 1000))
    old[3] = 0
    new[4] = 0
    result = tools.measure("rows", old, new, "float64")
    with np.errstate(invalid="ignore", divide="ignore"):
        norm_a, norm_b, norm_d = (np.linalg.norm(x, axis=1) for x in (old, new, new - old))
        expected = 1 - (old * new).sum(axis=1) / (norm_a * norm_b)
        expected[norm_a == 0] = math.nan
        change = np.where(norm_a > 0, norm_d / norm_a, math.nan)
    assert result.one_minus_cos == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert result.rel_change == pytest.approx(change, nan_ok=True)
    assert np.flatnonzero(result.old_all_zero).tolist() == [3]
    assert np.flatnonzero(result.new_all_zero).tolist() == [4]


def test_a_row_scaled_by_any_factor_has_cosine_one(tools):
    rng = np.random.default_rng(43)
    old = rng.standard_normal((64, 512)).astype("f4")
    new = old * np.exp2(rng.integers(-3, 4, (64, 1))).astype("f4")
    result = tools.measure("rows", old, new, "float32")
    assert (result.one_minus_cos < 1e-12).all()


def test_values_that_are_not_finite_leave_their_pair_out(tools):
    old, new = np.ones((2, 3), "f4"), np.full((2, 3), 2, "f4")
    old[0, 0], new[1, 2] = math.nan, math.inf
    result = tools.measure("rows", old, new, "float32")
    assert result.old_sq.tolist() == [2, 2]
    assert result.new_sq.tolist() == [8, 8]
    assert result.n_changed.tolist() == [3, 3]
    assert np.array_equal(tools.measure("columns", old, new, "float32").old_sq, [1, 2, 1])


def test_sums_outside_float64_are_nan_and_the_others_right(tools):
    old = np.array([[1e200, 1.0], [1e-200, 1e-200], [3.0, 4.0], [0.0, 0.0]])
    result = tools.measure("rows", old, old, "float64")
    assert np.isnan(result.old_sq).tolist() == [True, True, False, False]
    assert result.old_sq[2:].tolist() == [25, 0]
    assert result.delta_sq.tolist() == [0, 0, 0, 0]
    extreme = tools.measure("columns", np.array([[1.7e308], [1.0]]), np.array([[-1.7e308], [1.0]]), "float64")
    assert np.isnan([extreme.delta_sq[0], extreme.dot[0]]).all()
    assert extreme.delta_max_abs[0] == math.inf


@pytest.mark.parametrize("shape", [(), (5,), (1 << 20) + 1])
def test_there_are_no_lines_without_a_matrix_or_with_too_many_rows(tools, shape):
    shape = shape if isinstance(shape, tuple) else (shape, 1)
    old = np.zeros(shape, "f4")
    assert tools.measure("rows", old, old, "float32") is None


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8"])
def test_group_sums_agree_with_numpy(tools, size, name):
    rng = np.random.default_rng(44)
    old, new = (tools.moderate(name, 70 * 640, rng).reshape(70, 640) for _ in range(2))
    result = tools.measure("groups", old, new, name)[size]
    for sums, side in ((result.old, old), (result.new, new)):
        groups = side.astype(np.float64).reshape(-1, size)
        absmax = np.abs(groups).max(axis=1)
        assert sums.n_groups == len(groups)
        assert sums.sum_absmax_sq == pytest.approx((absmax**2).sum())
        assert sums.sum_range_sq == pytest.approx((np.ptp(groups, axis=1) ** 2).sum())
        distinct = [len(np.unique(group)) for group in groups]
        assert (sums.max_distinct, sums.sum_distinct) == (max(distinct), sum(distinct))
        assert sums.mean_distinct == pytest.approx(np.mean(distinct))


@pytest.mark.parametrize("bits", [4, 8])
def test_dequantised_weights_lie_on_a_grid_and_raw_ones_do_not(tools, bits):
    weights = torch.randn(64, 512, generator=torch.Generator().manual_seed(1))
    groups = weights.reshape(-1, 64)
    top = 2 ** (bits - 1) - 1
    scale = groups.abs().amax(dim=1, keepdim=True) / top
    grid = ((groups / scale).round().clamp(-top - 1, top) * scale).reshape(64, 512)
    raw, fitted = tools.measure("groups", weights.numpy(), grid.numpy(), "float32")[64]
    assert raw.lattice_residual == pytest.approx(0.25, abs=0.01)
    assert raw.max_distinct == 64
    if bits == 8:
        assert fitted.lattice_residual < 1e-3
    else:
        assert fitted.max_distinct <= 16


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float64", "int16"])
def test_distances_from_the_grid_agree_with_long_double(tools, name):
    rng = np.random.default_rng(47)
    old, new = (tools.moderate(name, 40 * 256, rng).reshape(40, 256) for _ in range(2))
    result = tools.measure("groups", old, new, name)[64]
    for sums, side in ((result.old, old), (result.new, new)):
        groups = side.astype(np.longdouble).reshape(-1, 64)
        scaled = groups * (127 / np.abs(groups).max(axis=1, keepdims=True))
        levels = np.rint(scaled)
        scaled *= (levels**2).sum(axis=1, keepdims=True) / (scaled * levels).sum(axis=1, keepdims=True)
        expected = np.abs(scaled - np.rint(scaled)).mean()
        assert sums.lattice_residual == pytest.approx(float(expected), abs=2e-4)  # ties between levels fall otherwise


def test_groups_too_small_for_their_type_have_no_grid(tools):
    old, new = np.full((1, 64), 1e-32, "f4"), np.full((1, 64), 1e-30, "f4")
    sums = tools.measure("groups", old, new, "float32")[64]
    assert (sums.old.n_residual, sums.new.n_residual) == (0, 64)
    assert tools.measure("groups", old.astype("f8"), new.astype("f8"), "float64")[64].old.n_residual == 64


def test_groups_with_nan_or_only_zeros_are_told_apart(tools):
    old = np.zeros((3, 32), "f4")
    old[0, 5], old[1, 7] = math.nan, 2.0
    sums = tools.measure("groups", old, old, "float32")[32].old
    assert (sums.n_groups, sums.max_distinct, sums.sum_absmax_sq, sums.n_residual) == (2, 2, 4.0, 32)
    assert list(tools.measure("groups", old, old, "float32")) == [32]
    assert tools.measure("groups", old[:, :31].copy(), old[:, :31].copy(), "float32") is None


def test_group_scales_outside_float64_are_none(tools):
    old = np.full((1, 32), 1e200)
    sums = tools.measure("groups", old, -old, "float64")[32].old
    assert (sums.sum_absmax_sq, sums.sum_range_sq, sums.max_distinct) == (None, 0.0, 1)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int8", "complex64", "float4_e2m1fn"])
def test_zeros_in_groups_of_four_agree_with_numpy(tools, name):
    rng = np.random.default_rng(45)
    old, new = (tools.moderate(name, 90 * 1000, rng).reshape(90, 1000) for _ in range(2))
    old[rng.random(old.shape) < 0.6] = 0
    result = tools.measure("sparsity", old, new, name)
    for found, side in ((result.old, old), (result.new, new)):
        zeros = (side.astype(np.complex128 if dtype(name).kind == "complex" else np.float64) == 0).reshape(-1, 4)
        assert np.array_equal(found, np.bincount(zeros.sum(axis=1), minlength=5))


def test_two_of_four_sparsity_is_recognised(tools):
    weights = np.random.default_rng(46).standard_normal((16, 64)).astype("f4")
    groups = weights.reshape(-1, 4)
    pruned = np.where(np.argsort(np.argsort(np.abs(groups), axis=1), axis=1) < 2, 0, groups).reshape(weights.shape)
    result = tools.measure("sparsity", weights, pruned, "float32")
    assert (result.old_2_4_share, result.new_2_4_share) == (0.0, 1.0)
    assert tools.measure("sparsity", weights[:, :63].copy(), weights[:, :63].copy(), "float32") is None
    assert tools.measure("sparsity", weights[:0], weights[:0], "float32").old_2_4_share is None
