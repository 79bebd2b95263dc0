"""The findings about tensors, against NumPy, SciPy and what was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from diffai_compare_tensors.describe import unravel
from diffai_compare_tensors.plugin import diffai_comparators
from scipy import stats as scipy_stats

from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts
from diffai_core.testing import artifact

RNG = np.random.default_rng(17)
A = RNG.standard_normal((40, 30)).astype(np.float32)
B = (A + 0.01 * RNG.standard_normal((40, 30))).astype(np.float32)
SPECS = {
    spec.name: Registered(spec, "compare-tensors", "diffai-compare-tensors", "0.1.0") for spec in diffai_comparators()
}


def findings(old: dict[str, Any], new: dict[str, Any], name: str = "tensors", **options: Any) -> list[Any]:
    settings = Settings(plugin_options={name: options})
    report = compare_artifacts(artifact(tensors=old), artifact(tensors=new), (SPECS[name],), settings)
    assert [finding for finding in report.findings if finding.level == "error"] == []
    return list(report.findings)


def by_kind(found: list[Any], kind: str) -> dict[str, Any]:
    return {finding.where: finding for finding in found if finding.kind == kind}


def test_unravel_agrees_with_numpy() -> None:
    for shape in [(3, 4, 5), (7,), (), (1, 9)]:
        for index in range(0, int(np.prod(shape)), 3):
            assert unravel(index, shape) == [int(i) for i in np.unravel_index(index, shape)]


def test_added_and_removed_are_named_with_shape_dtype_and_size() -> None:
    found = findings({"gone": A, "kept": A}, {"kept": A, "came": B})
    assert by_kind(found, "tensor_removed")["gone"].old == {"shape": [40, 30], "dtype": "float32", "params": 1200}
    assert by_kind(found, "tensor_added")["came"].new["params"] == 1200


def test_a_renamed_tensor_is_one_finding_with_both_names() -> None:
    (found,) = findings({"a": A}, {"b": A})
    assert (found.kind, found.where, found.old, found.new) == ("tensor_renamed", "b", "a", "b")


def test_a_common_prefix_is_told_once() -> None:
    found = findings({"w": A, "v": B}, {"model.w": A, "model.v": B})
    assert [f.kind for f in found] == ["tensor_prefix_changed"]
    assert (found[0].old, found[0].new, found[0].values) == ("*", "model.*", {"n_tensors": 2})


def test_a_prefix_and_a_rename_are_told_separately() -> None:
    found = findings({"w": A, "v": B, "x": A + 1}, {"model.w": A, "model.v": B, "y": A + 1})
    assert sorted(f.kind for f in found) == ["tensor_renamed"] * 3


def test_shape_and_dtype_changes_say_what_is_equal_all_the_same() -> None:
    (found,) = findings({"x": A}, {"x": A.reshape(30, 40)})
    assert (found.kind, found.values) == ("tensor_shape_changed", {"reshape_only": True})
    (found,) = findings({"x": A}, {"x": A[:, :15]})
    assert (found.kind, found.values) == ("tensor_shape_changed", {"reshape_only": False})
    (found,) = findings({"x": A}, {"x": A.astype(np.float64)})
    assert (found.kind, found.values) == ("tensor_dtype_changed", {"values_equal": True})
    found = findings({"x": A}, {"x": A.astype(np.float16)})
    assert [f.kind for f in found] == ["tensor_dtype_changed", "tensor_stats_changed"]


def test_the_numbers_of_a_changed_tensor_agree_with_numpy() -> None:
    found = by_kind(findings({"x": A}, {"x": B}, tensor_details=True), "tensor_stats_changed")["x"]
    a, b = A.astype(float), B.astype(float)
    d = b - a
    assert found.old["mean"] == pytest.approx(a.mean(), rel=1e-12)
    assert found.new["std"] == pytest.approx(b.std(), rel=1e-12)
    assert (found.new["min"], found.old["max"]) == (b.min(), a.max())
    values = found.values
    assert values["rel_change"] == pytest.approx(np.linalg.norm(d) / np.linalg.norm(a), rel=1e-12)
    assert values["max_abs_diff"] == np.abs(d).max()
    assert values["max_abs_diff_index"] == [int(i) for i in np.unravel_index(np.abs(d).argmax(), d.shape)]
    cosine = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
    assert values["one_minus_cos"] == pytest.approx(1 - cosine, rel=1e-9)
    assert values["n_changed"] == np.count_nonzero(A != B)
    assert values["norm_ratio"] == pytest.approx(np.linalg.norm(b) / np.linalg.norm(a), rel=1e-12)
    assert values["delta_mean"] == pytest.approx(d.mean(), rel=1e-10)


def test_a_change_from_all_zero_has_no_relative_size_and_leads_when_sorted() -> None:
    found = findings({"a": A, "z": A * 0}, {"a": B, "z": B}, sort_by_change_magnitude=True)
    changed = [f for f in found if f.kind == "tensor_stats_changed"]
    assert [f.where for f in changed] == ["z", "a"]
    assert changed[0].values["rel_change"] is None


def test_no_tolerance_is_named_where_none_would_pass() -> None:
    def tolerance(old: Any, new: Any) -> list[Any]:
        return [f for f in findings({"x": old}, {"x": new}) if f.kind == "tolerance_to_pass"]

    assert [f.values["atol"] for f in tolerance(np.array([1.0, 2.0]), np.array([1.5, 2.0]))] == [0.5]
    assert tolerance(np.array([1.0, 2.0]), np.array([1.5, np.nan])) == []
    assert tolerance(np.array([1.0, np.inf]), np.array([1.5, -np.inf])) == []
    assert tolerance(A, A.astype(np.float16)) == []
    assert tolerance(A, A) == []


def test_stats_agree_with_numpy_and_scipy() -> None:
    half, other = A.astype(np.float16), B.astype(np.float16)
    (found,) = findings({"x": half}, {"x": other}, "stats")
    a, b = half.astype(float).ravel(), other.astype(float).ravel()
    assert found.status == "measured"
    for name, q in (("q000", 0), ("q010", 0.01), ("q500", 0.5), ("q990", 0.99), ("q1000", 1)):
        assert found.old[name] == pytest.approx(np.quantile(a, q), rel=1e-12)
    assert found.old["skew"] == pytest.approx(scipy_stats.skew(a), rel=1e-9)
    assert found.new["ex_kurtosis"] == pytest.approx(scipy_stats.kurtosis(b), rel=1e-9)
    assert found.old["distinct"] == np.unique(a).size
    assert found.values["ks_d"] == pytest.approx(scipy_stats.ks_2samp(a, b).statistic, abs=1e-12)
    w1 = scipy_stats.wasserstein_distance(a, b) / a.std()
    assert found.values["w1_over_std"] == pytest.approx(w1, rel=1e-9)
    distance = np.abs(half.view(np.int16).astype(int) - other.view(np.int16).astype(int))[(half > 0) == (other > 0)]
    low, high = found.values["ulp_p50"]
    assert low <= np.median(distance) <= 2 * high + 1
    assert found.values["rounding_ratio"] == pytest.approx(found.values["rel_change"] / 2.07e-4)
    assert found.message.startswith("old |")


def test_wide_floats_say_that_their_quantiles_are_bounded() -> None:
    (found,) = findings({"x": A}, {"x": B}, "stats")
    assert found.status == "bounded"
    assert found.old["q250"] == pytest.approx(np.quantile(A.astype(float), 0.25), rel=0.004)


def test_a_cast_is_about_one_rounding() -> None:
    import ml_dtypes

    wide = RNG.standard_normal(200_000).astype(np.float32)
    (found,) = findings({"x": wide}, {"x": wide.astype(ml_dtypes.bfloat16)}, "stats")
    assert found.values["rounding_ratio"] == pytest.approx(1, abs=0.03)


def test_special_values_are_counted() -> None:
    old = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 1], np.float32)
    new = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 2], np.float32)
    (found,) = findings({"x": old}, {"x": new}, "stats")
    names = ("n_zero", "n_neg_zero", "n_nan", "n_pos_inf", "n_neg_inf", "n_subnormal")
    assert [found.old[name] for name in names] == [2, 1, 1, 1, 1, 1]


def test_the_structure_counts_parameters_and_what_was_modified() -> None:
    changed = A.copy()
    changed[0, :12] += 1
    old, new = {"a": A, "b": B, "c": A[:2]}, {"a": changed, "b": B, "d": B[:3]}
    found = findings(old, new, "show-structure", diff_only=True)
    (summary,) = found
    assert summary.values["parameters_old"] == 2460
    assert summary.values["parameters_new"] == 2490
    assert summary.values["parameters_changed_share"] == pytest.approx(12 / 2400)
    lines = summary.values["structural_changes"]
    assert lines == ["- c: shape=[2, 30], dtype=float32, params=60", "+ d: shape=[3, 30], dtype=float32, params=90"]
    kept = by_kind(findings(old, new, "show-structure"), "tensor_kept")
    assert set(kept) == {"a", "b"}


def test_what_a_tensor_is_for_is_told_where_it_is_no_plain_weight() -> None:
    sides = (
        artifact({"w": A}),
        artifact({"w": A, "w.lora_A": B, "m": B}, roles={"w.lora_A": "adapter", "m": "optimizer"}),
    )
    report = compare_artifacts(*sides, (SPECS["tensors"],))
    added = by_kind(list(report.findings), "tensor_added")
    assert {name: finding.new.get("role") for name, finding in added.items()} == {
        "w.lora_A": "adapter",
        "m": "optimizer",
    }


def test_the_sort_key_says_which_change_is_the_largest() -> None:
    ones = np.ones((64, 64), np.float32)
    old = {"relative": ones[:1, :2] * 1e-3, "energy": ones, "peak": ones.copy(), "effect": ones.astype(np.float64)}
    new = {"relative": old["relative"] * 3, "energy": ones * 1.5, "peak": ones.copy(), "effect": old["effect"] * 1.01}
    new["peak"][5, 5] += 10
    orders = {
        key: [f.where for f in findings(old, new, sort_key=key) if f.kind == "tensor_stats_changed"] for key in KEYS
    }
    assert [orders[key][0] for key in KEYS] == ["energy", "peak", "effect"]
    plain = findings(old, new, sort_by_change_magnitude=True)
    assert next(f.where for f in plain if f.kind == "tensor_stats_changed") == "relative"


KEYS = ("energy", "max_abs", "effect")


def test_what_has_no_known_rounding_leads_when_sorted_by_effect() -> None:
    old = {"b": np.ones(4, np.float32), "a": np.ones(4, np.int32)}
    found = findings(old, {name: values * 2 for name, values in old.items()}, sort_key="effect")
    assert [f.where for f in found if f.kind == "tensor_stats_changed"] == ["a", "b"]
