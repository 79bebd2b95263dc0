"""What the rules of ``--fail-if`` come to."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from diffai_core.plugin import GATE, Finding
from diffai_core.testing import artifact


@pytest.fixture
def pair():
    """Three norms and a matrix; the second norm moved by 50 %, the matrix by 1 %."""
    rng = np.random.default_rng(7)
    old = {f"block.{i}.norm.weight": rng.standard_normal(64).astype(np.float32) for i in range(3)}
    old["head.weight"] = rng.standard_normal((32, 64)).astype(np.float32)
    new = {key: array.copy() for key, array in old.items()}
    new["block.1.norm.weight"] *= np.float32(1.5)
    new["head.weight"] += np.float32(0.01) * rng.standard_normal((32, 64)).astype(np.float32)
    return old, new


def reference(measure, old, new):
    """Return a measure as NumPy computes it in float64."""
    a, b = old.astype(np.float64).ravel(), new.astype(np.float64).ravel()
    d = b - a
    return {
        "rel_change": np.linalg.norm(d) / np.linalg.norm(a),
        "max_abs_diff": np.abs(d).max(),
        "rms_diff": np.sqrt(np.mean(d**2)),
        "one_minus_cos": 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b)),
        "norm_ratio": np.linalg.norm(b) / np.linalg.norm(a),
        "std_ratio": b.std() / a.std(),
        "n_changed": float(np.count_nonzero(d)),
        "changed_share": np.count_nonzero(d) / d.size,
        "n_above_tol": float(np.count_nonzero(d)),
        "n_nan_one_side": 0.0,
        "n_nan_new": 0.0,
        "n_inf_new": 0.0,
        "zero_share_new": np.mean(b == 0),
        "max_abs_new": np.abs(b).max(),
    }[measure]


MEASURES = (
    *("rel_change", "max_abs_diff", "rms_diff", "one_minus_cos", "norm_ratio", "std_ratio", "n_changed"),
    *("changed_share", "n_above_tol", "n_nan_one_side", "n_nan_new", "n_inf_new", "zero_share_new", "max_abs_new"),
)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_of_a_tensor_is_what_numpy_computes(pair, gates, measure):
    old, new = (artifact(side) for side in pair)
    (gate,) = gates(old, new, f"{measure} < 1e9 @ head.*")
    assert gate.values["value"] == pytest.approx(reference(measure, pair[0]["head.weight"], pair[1]["head.weight"]))


def test_a_rule_fails_where_one_tensor_breaks_it_and_names_the_worst(pair, gates):
    (gate,) = gates(*map(artifact, pair), "rel_change > 0.1 @ *.norm.*")
    assert (gate.kind, gate.level, gate.status) == (GATE, "change", "measured")
    assert gate.values["passed"] is False
    assert gate.values["tensor"] == "block.1.norm.weight"
    assert gate.values["value"] == pytest.approx(0.5, rel=1e-6)
    assert gate.values["failed"] == ["block.1.norm.weight"]
    assert (gate.values["n_failed"], gate.values["n_tensors"]) == (1, 3)
    assert (gate.threshold, gate.threshold_source) == (0.1, "user")
    assert gate.message == "block.1.norm.weight has rel_change 0.5 (1 of 3 tensors)"


def test_a_rule_passes_where_no_tensor_breaks_it_and_names_the_nearest(pair, gates):
    (gate,) = gates(*map(artifact, pair), "rel_change > 0.51 @ *.norm.*")
    assert (gate.level, gate.status, gate.values["passed"]) == ("info", "measured", True)
    assert gate.values["tensor"] == "block.1.norm.weight"
    assert "nearest of 3 tensors: block.1.norm.weight has rel_change 0.5" in gate.message


def test_each_rule_gets_its_own_gate_in_the_order_given(pair, gates):
    rules = ("n_changed > 3", "tensors_added > 0", "norm_ratio < 0.9")
    found = gates(*map(artifact, pair), *rules)
    assert [gate.values["rule"] for gate in found] == list(rules)
    assert [gate.values["passed"] for gate in found] == [False, True, True]


def test_without_rules_there_is_nothing(pair, gates):
    assert gates(*map(artifact, pair)) == []


def test_a_glob_that_matches_nothing_is_never_a_pass(pair, gates):
    for rule in ("rel_change > 9 @ *.nrm.*", "n_nan_new > 0 @ x", "tensors_removed > 0 @ *.NORM.*"):
        (gate,) = gates(*map(artifact, pair), rule)
        assert (gate.level, gate.status, gate.values["passed"]) == ("warning", "not_measurable", None)
        assert "there is for instance block.0.norm.weight" in gate.message


def test_without_tensors_a_rule_about_tensors_is_never_a_pass(gates):
    for rule in ("rel_change > 9", "n_nan_new > 0", "parameters_change < -0.5"):
        (gate,) = gates(artifact(tree={"a": 1}), artifact(tree={"a": 2}), rule)
        assert gate.values["passed"] is None
        assert "no tensors were compared" in gate.message


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (np.ones((2, 3), np.float32), np.ones((4, 3), np.float32), "its shape changed"),
        (None, np.ones(3, np.float32), "only in NEW"),
        (np.ones(3, np.float32), None, "only in OLD"),
        (np.array([b"ab"], "V2"), np.array([b"cd"], "V2"), "its elements are no numbers"),
        (np.ones(2, np.float32), np.full(2, np.nan, np.float32), "no two finite values"),
    ],
)
def test_what_has_no_measure_is_never_a_pass(gates, old, new, why):
    sides = [artifact({} if array is None else {"w": array}) for array in (old, new)]
    (gate,) = gates(*sides, "rel_change > 1e30")
    assert gate.values["passed"] is None
    assert gate.values["not_measurable"] == [{"tensor": "w", "reason": gate.message.partition("w: ")[2]}]
    assert why in gate.message


def test_nan_that_came_keeps_a_small_change_of_the_rest_from_passing(gates):
    old = {"w": np.array([1.0, 2.0, 3.0, 4.0], np.float32)}
    new = {"w": np.array([1.0, 2.0, np.nan, 4.1], np.float32)}
    (gate,) = gates(artifact(old), artifact(new), "rel_change > 0.5")
    assert gate.values["passed"] is None
    assert "NaN or infinities stand against numbers" in gate.message
    (gate,) = gates(artifact(old), artifact(new), "rel_change > 0.01")
    assert gate.values["passed"] is False


def test_infinities_that_stayed_where_they_were_do_not_matter(gates):
    mask = np.array([-np.inf, 0.0, 1.0], np.float32)
    (gate,) = gates(artifact({"m": mask}), artifact({"m": mask + np.float32(0.125)}), "max_abs_diff > 0.2")
    assert (gate.values["passed"], gate.values["value"]) == (True, 0.125)


def test_a_change_from_all_zero_is_beyond_any_limit(gates):
    zero, one = artifact({"w": np.zeros(4, np.float32)}), artifact({"w": np.ones(4, np.float32)})
    found = gates(zero, one, "rel_change > 1e300", "norm_ratio > 1e300", "std_ratio > 2", "one_minus_cos > 0.5")
    assert [gate.values["value"] for gate in found[:3]] == [math.inf, math.inf, 1.0]
    assert [gate.values["passed"] for gate in found] == [False, False, True, None]


def test_an_identical_tensor_has_the_measures_of_no_change_without_being_read(gates):
    side = artifact({"w": np.array([np.nan, 1, 2], np.float32)})
    found = gates(side, side, *(f"{measure} > 5" for measure in MEASURES[:10]))
    assert {gate.values["value"] for gate in found} == {0.0, 1.0}
    assert all(gate.values["passed"] for gate in found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
def test_nan_infinities_and_zeros_of_new_are_counted_in_every_float(gates, dtype):
    values = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, -2.0, 1.0, 1.5], dtype)
    side = artifact({"w": values, "added": np.zeros(3, np.float32)})
    found = gates(artifact({"w": values}), side, "n_nan_new > 0", "n_inf_new > 2", "max_abs_new > 2 @ w")
    assert [gate.values["value"] for gate in found] == [1.0, 2.0, 2.0]
    assert [gate.values["passed"] for gate in found] == [False, True, True]
    (gate,) = gates(artifact({"w": values}), side, "zero_share_new == 1")
    assert gate.values["failed"] == ["added"]


def test_integers_booleans_and_complex_numbers_of_new_are_read_too(gates):
    new = {
        "bool": np.array([True, False]),
        "int": np.array([-7, 3], np.int64),
        "complex": np.array([np.nan + 1j, 0 + 0j], np.complex64),
    }
    found = gates(artifact(), artifact(new), "n_nan_new > 0", "max_abs_new > 6", "zero_share_new >= 0.75 @ complex")
    assert [gate.values["tensor"] for gate in found] == ["complex", "int", "complex"]
    assert [gate.values["value"] for gate in found] == [1.0, 7.0, 0.5]


def test_counts_over_the_model_are_those_of_the_planted_changes(gates):
    kept = np.arange(12, dtype=np.float32).reshape(3, 4)
    old = {"kept": kept, "resized": kept, "recast": kept, "moved": kept, "gone": np.ones(8, np.float32)}
    new = {"kept": kept, "resized": np.ones((5, 4), np.float32), "recast": kept.astype(np.float16), "moved": kept + 1}
    planted = {
        "tensors_added > 9": 0,
        "tensors_removed > 9": 1,
        "tensors_changed > 9": 2,
        "tensors_reshaped > 9": 1,
        "tensors_recast > 9": 1,
        "tensors_renamed > 9": 0,
        "parameters_change > 9": 56 / 56 - 1,
        "bytes_change > 9": (48 + 80 + 24 + 48) / (4 * 48 + 32) - 1,
        "parameters_new > 99": 56,
        "bytes_new > 999": 200,
        "tensors_removed > 9 @ g*": 1,
        "parameters_change > 9 @ r*": 32 / 24 - 1,
    }
    found = gates(artifact(old), artifact(new), *planted)
    assert [gate.values["value"] for gate in found] == pytest.approx(list(planted.values()))


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("changes > 1", False),
        ("changes > 2", True),
        ("warnings > 0", False),
        ("errors > 0", True),
        ("quantization_analysis.sqnr_db < 30", True),
        ("quantization_analysis.sqnr_db < 50", False),
        ("quantization_analysis.scheme == 8", None),
        ("quantization_analysis.sqnr < 30", None),
        ("sparsity_analysis.zero_share > 0.5", None),
        ("anomalies > 0", None),
    ],
)
def test_rules_about_other_analyses_read_what_those_found(judged, rule, passed):
    summary = Finding("quantization_analysis", level="info", values={"sqnr_db": 42.1, "scheme": "int8"})
    others = (Finding("modified", "a"), Finding("modified", "b"), Finding("anomaly_tensor", "w", level="warning"))
    gate = judged(rule, summary, *others, Finding(GATE, values={"rule": "x", "passed": False}))
    assert gate.values["passed"] is passed


def test_an_analysis_that_could_not_measure_decides_nothing(judged):
    missing = Finding("anomaly_detection", status="not_measurable", level="info", message="needs tensors")
    assert judged("anomalies > 0", missing).values["passed"] is None
    found = Finding("anomaly_detection", level="info")
    assert judged("anomalies > 0", found).values["passed"] is True
    assert judged("anomalies > 0", found, Finding("anomaly", "w", level="warning")).values["value"] == 1.0
    for name in ("missing", "nan"):
        values = {"missing": None, "nan": math.nan}
        gate = judged(f"x.{name} > 0", Finding("x", level="info", values=values, message="needs data"))
        assert gate.values["passed"] is None


def test_what_is_missing_says_what_to_give(judged):
    assert "add --anomaly-detection" in judged("anomalies > 0").message
    assert "add its flag (--sparsity-analysis, or see --plugins)" in judged("sparsity_analysis.zeros > 0").message
    found = Finding("x", level="info", values={"a": 1.0, "b": "text"})
    assert "x has no field c; numbers are a" in judged("x.c > 0", found).message
