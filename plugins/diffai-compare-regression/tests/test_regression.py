"""Which metrics became worse, and what the gates over them say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from diffai_compare_regression.sameness import same_tree
from scipy import stats

from diffai_core.plugin import GATE
from diffai_core.testing import artifact


def results(**metrics):
    return artifact(tree={"metrics": metrics})


def summary(found):
    (one,) = [finding for finding in found if finding.kind in {"regression_test", "alert_on_degradation"}]
    return one


def rows(found):
    return {row["name"]: row for row in summary(found).values["metrics"]}


@pytest.fixture
def test_of(run):
    return lambda old, new, **options: run("regression-test", old, new, **options)


@pytest.fixture
def alert_of(run):
    """Return what ``--alert-on-degradation`` answers: of each gate, whether it passed."""

    def alert_of(old, new, **options):
        found = run("alert-on-degradation", old, new, **options)
        answers = [finding.values["passed"] for finding in found if finding.kind == GATE]
        expected = True if False in answers else None if None in answers else False
        assert summary(found).values["alert"] is expected
        return answers

    return alert_of


def test_a_metric_that_fell_by_more_than_the_tolerance_is_a_degradation(test_of):
    found = test_of(results(accuracy=0.92), results(accuracy=0.90), regression_tolerance=("0.01",))
    row = rows(found)["accuracy"]
    assert (row["verdict"], row["status"], row["direction"]) == ("degraded", "unreplicated", "max")
    assert row["degradation"] == pytest.approx(0.02)
    assert summary(found).values["n_degraded"] == 1
    assert [finding.where for finding in found[1:]] == ["metrics.accuracy"]
    assert found[1].level == "warning"
    assert found[1].message == "accuracy 0.92 -> 0.9, and higher is better"


@pytest.mark.parametrize(
    ("name", "old", "new", "tolerance", "verdict"),
    [
        ("accuracy", 0.90, 0.89, "0.01", "within tolerance"),
        ("accuracy", 0.90, 0.8899, "0.01", "degraded"),
        ("accuracy", 0.90, 0.8899, "2%", "within tolerance"),
        ("accuracy", 0.90, 0.95, "0", "better"),
        ("accuracy", 0.90, 0.90, "0", "unchanged"),
        ("loss", 2.0, 2.1, "0.05", "degraded"),
        ("loss", 2.0, 2.1, "5%", "within tolerance"),
        ("loss", 2.0, 2.1, "loss=0.2", "within tolerance"),
        ("loss", 2.0, 1.9, "0", "better"),
        ("perplexity", 10.0, math.inf, "100%", "degraded"),
        ("zorp", 1.0, 2.0, "0", "unknown direction"),
        ("zorp", 1.0, 1.0, "0", "unchanged"),
    ],
)
def test_the_direction_and_the_tolerance_decide(test_of, name, old, new, tolerance, verdict):
    found = test_of(results(**{name: old}), results(**{name: new}), regression_tolerance=(tolerance,))
    assert rows(found)[name]["verdict"] == verdict


def test_the_user_says_the_direction_that_nothing_tells(test_of, alert_of):
    sides = results(zorp=1.0), results(zorp=2.0)
    assert "add --metric-direction zorp=max or =min" in summary(test_of(*sides)).message
    assert summary(test_of(*sides)).status == "not_measurable"
    assert alert_of(*sides) == [None]
    assert alert_of(*sides, metric_direction=("zorp=max",)) == [True]
    assert alert_of(*sides, metric_direction=("zorp=min",)) == [False]


def harness(**tasks):
    """Return the output of the evaluation harness: by task, value and standard error of its accuracy."""
    scores = {task: {"acc,none": value, "acc_stderr,none": error} for task, (value, error) in tasks.items()}
    return artifact(tree={"results": scores})


def test_with_standard_errors_a_degradation_must_be_significant(test_of):
    found = test_of(harness(a=(0.80, 0.01), b=(0.80, 0.01)), harness(a=(0.79, 0.01), b=(0.70, 0.01)))
    table = rows(found)
    z = (0.1 / math.hypot(0.01, 0.01), 0.01 / math.hypot(0.01, 0.01))
    assert table["b.acc,none"]["z"] == pytest.approx(z[0])
    assert table["b.acc,none"]["p"] == pytest.approx(stats.norm.sf(z[0]))
    assert table["a.acc,none"]["p"] == pytest.approx(stats.norm.sf(z[1]))
    assert table["a.acc,none"]["verdict"] == "worse, not significant"
    assert table["b.acc,none"]["verdict"] == "degraded"
    assert {row["status"] for row in table.values()} == {"measured"}


def test_the_chance_of_a_false_alarm_holds_over_all_metrics():
    """Holm on planted equal models: an uncorrected test would raise an alarm in 64 % of the runs of 20 tasks."""
    from diffai_compare_regression.metrics import MetricPair, MetricValue
    from diffai_compare_regression.outcomes import _outcomes

    rng = np.random.default_rng(3)
    alarms = uncorrected = 0
    for _ in range(400):
        values = rng.normal(0.8, 0.01, (2, 20))
        pairs = tuple(
            MetricPair(*(MetricValue(f"t{i}", f"t{i}", float(side[i]), "max", 0.01) for side in values), "max")
            for i in range(20)
        )
        outcomes = _outcomes(pairs, (), 0.05)
        alarms += any(outcome.verdict == "degraded" for outcome in outcomes)
        uncorrected += any(outcome.p < 0.05 for outcome in outcomes)
    assert 0.02 < alarms / 400 < 0.09
    assert uncorrected / 400 > 0.55


def test_adjusted_chances_are_those_of_holm(test_of):
    old = harness(a=(0.8, 0.01), b=(0.8, 0.01), c=(0.8, 0.01))
    table = rows(test_of(old, harness(a=(0.76, 0.01), b=(0.775, 0.01), c=(0.79, 0.01))))
    p = sorted(row["p"] for row in table.values())
    expected = np.maximum.accumulate([3 * p[0], 2 * p[1], p[2]])
    assert sorted(row["p_adjusted"] for row in table.values()) == pytest.approx(expected)


def test_metrics_of_a_trainer_are_read_at_the_end_of_the_log(test_of):
    def log(*losses):
        history = [{"step": 10 * i, "eval_loss": loss, "eval_runtime": 3.0 * i} for i, loss in enumerate(losses)]
        return artifact(tree={"trainer_state.json": {"log_history": history, "global_step": 30}})

    found = test_of(log(3.0, 2.0, 1.0), log(3.0, 1.5, 1.2))
    row = rows(found)["eval_loss"]
    assert (row["old"], row["new"], row["verdict"]) == (1.0, 1.2, "degraded")
    assert "eval_runtime" not in rows(found)


def test_a_log_that_nothing_calls_a_metric_is_named_and_counts_once_the_user_says_so(test_of, alert_of, gates):
    def side(*values):
        return artifact({"w": np.full(3, values[0])}, {"training_history": {"e": {"val": list(values)}}})

    sides = side(3.0, 2.0), side(3.0, 2.5)
    found = summary(test_of(*sides))
    assert found.values["undirected_logs"] == ["e.val"]
    assert "(e.val); add --metric-direction e.val=max or =min" in found.message
    assert alert_of(*sides) == [None, True]
    assert alert_of(*sides, metric_direction=("e.val=min",)) == [False, True]
    assert alert_of(*sides, metric_direction=("e.val=max",)) == [True, True]
    assert [gate.values["passed"] for gate in gates(*sides, "metric:e.val > 2.4", "degradation:e.val > 0")] == [
        False,
        None,
    ]


def test_a_metric_that_became_nan_is_a_degradation(test_of, alert_of):
    sides = results(accuracy=0.9), results(accuracy=math.nan)
    assert rows(test_of(*sides))["accuracy"]["degradation"] == math.inf
    assert alert_of(*sides) == [False]
    assert rows(test_of(*reversed(sides))) == {}


def test_a_metric_that_is_gone_is_never_a_pass(alert_of):
    assert alert_of(results(accuracy=0.9, f1=0.8), results(f1=0.8)) == [None]
    assert alert_of(results(accuracy=0.9, f1=0.8), results(f1=0.7)) == [False]
    assert alert_of(results(f1=0.8), results(accuracy=0.9, f1=0.8)) == [True]


def test_without_metrics_the_alert_says_what_to_give(run):
    sides = artifact({"w": np.ones(3, np.float32)}), artifact({"w": np.zeros(3, np.float32)})
    found = run("alert-on-degradation", *sides)
    assert [finding.values["passed"] for finding in found[1:]] == [None, True]
    assert found[1].message.startswith("no metric in common: give the folders with results.json")
    assert summary(run("regression-test", *sides)).status == "not_measurable"


def test_of_the_same_model_nothing_can_be_worse(alert_of):
    side = artifact({"w": np.ones(3, np.float32)}, {"name": "x"})
    assert alert_of(side, artifact({"w": np.ones(3, np.float32)}, {"name": "x"})) == [True, True]
    assert alert_of(side, artifact({"w": np.ones(3, np.float32)}, {"name": "y"})) == [None, True]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_new_values_that_are_not_finite_fail_the_gate_wherever_they_come(alert_of, test_of, value):
    good = np.ones((2, 3), np.float32)
    bad = good.copy()
    bad[1, 2] = value
    metrics = {"metrics": {"accuracy": 0.9}}
    places = {
        "changed": ({"w": good}, {"w": bad}),
        "added": ({"w": good}, {"w": good, "v": bad}),
        "reshaped": ({"w": good}, {"w": bad.T.copy()}),
    }
    for old, new in places.values():
        sides = artifact(old, metrics), artifact(new, metrics)
        assert alert_of(*sides) == [True, False]
        assert summary(test_of(*sides)).values["n_tensors_with_new_nan_or_inf"] == 1
    kept = artifact({"w": bad}, metrics)
    assert alert_of(kept, artifact({"w": bad, "v": good}, metrics)) == [True, True]


def test_lost_weights_fail_the_gate_and_lost_optimizer_state_does_not(alert_of):
    arrays = {"w": np.ones(3, np.float32), "m": np.ones(3, np.float32)}
    metrics = {"metrics": {"accuracy": 0.9}}
    old = artifact(arrays, metrics, roles={"m": "optimizer"})
    assert alert_of(old, artifact({"w": arrays["w"]}, metrics)) == [True, True]
    assert alert_of(old, artifact({"m": arrays["m"]}, metrics, roles={"m": "optimizer"})) == [True, False]


def test_every_number_moves_with_the_metric_behind_it(test_of):
    small, large = (
        rows(test_of(harness(a=(0.8, 0.01)), harness(a=(0.8 - drop, 0.01 + drop))))["a.acc,none"]
        for drop in (0.01, 0.03)
    )
    moved = {key for key in small if small[key] != large[key]}
    assert moved >= {"new", "delta", "degradation", "stderr_new", "z", "p", "p_adjusted"}


def test_telling_names_of_files_change_nothing(run):
    arrays = {"w": np.ones(3, np.float32)}, {"w": np.zeros(3, np.float32)}
    for name in ("regression-test", "alert-on-degradation"):
        plain, telling = (
            run(name, artifact(arrays[0], name=names[0]), artifact(arrays[1], name=names[1]))
            for names in (("a", "b"), ("accuracy_0.9_loss_1.pt", "accuracy_0.1_loss_9.pt"))
        )
        assert plain == telling


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("metric:accuracy < 0.9", False),
        ("metric:metrics.accuracy < 0.8", True),
        ("metric:f1 < 0.8", None),
        ("metric:loss > 3", None),
        ('metric:["b.json"].metrics.loss > 3', False),
        ("degradation:accuracy > 0.01", False),
        ("degradation:accuracy > 0.1", True),
        ("degradation:zorp > 0", None),
        ("degradation:f1 > 0", None),
    ],
)
def test_rules_about_metrics_read_those_of_new(gates, rule, passed):
    def folder(accuracy, zorp):
        metrics = {"accuracy": accuracy, "zorp": zorp, "loss": 1.0}
        return artifact(tree={"results.json": {"metrics": metrics}, "b.json": {"metrics": {"loss": 4.0}}})

    (gate,) = gates(folder(0.9, 1.0), folder(0.85, 2.0), rule)
    assert gate.values["passed"] is passed, gate.message


def test_a_rule_about_a_metric_that_is_not_there_lists_those_that_are(gates):
    (gate,) = gates(results(accuracy=0.9), results(accuracy=0.9), "metric:f1 < 0.8")
    assert "no metric f1 in NEW (there are: accuracy)" in gate.message
    (gate,) = gates(results(zorp=1.0), results(zorp=2.0), "degradation:zorp > 0", metric_direction=("zorp=min",))
    assert gate.values["value"] == 1.0


def test_metrics_in_the_metadata_of_safetensors_are_texts_and_count(test_of):
    def side(accuracy):
        return artifact(tree={"__metadata__": {"format": "pt", "accuracy": accuracy, "epoch": "3"}})

    row = rows(test_of(side("0.91"), side("8.9e-1")))["accuracy"]
    assert (row["old"], row["new"], row["path"]) == (0.91, 0.89, "__metadata__.accuracy")
    assert rows(test_of(side("0.91"), side("NaN")))["accuracy"]["degradation"] == math.inf
    assert rows(test_of(side("0.91"), side("good"))) == {}


def test_trees_are_the_same_in_bounded_time_however_they_are_shared():
    def bomb(end):
        value = [end]
        for _ in range(60):
            value = [value, value]
        return value

    def cycle():
        value = []
        value.append(value)
        return {"a": value}

    assert same_tree(bomb(1), bomb(1))
    assert not same_tree(bomb(1), bomb(2))
    assert same_tree(cycle(), cycle())
    assert same_tree({"a": [1, math.nan, b"x", None]}, {"a": [1, math.nan, b"x", None]})
    for other in ({"a": [1, 2]}, {"a": [1, True, 3]}, {"a": (1, 2, 3)}, {"b": [1, 2, 3]}, {"a": [1, 2, 3], "b": 0}):
        assert not same_tree({"a": [1, 2, 3]}, other)


def test_a_tree_of_shared_values_takes_no_time(alert_of):
    value = {"accuracy": 0.9}
    for _ in range(60):
        value = {"a": value, "b": value}
    shared = artifact({"w": np.ones(2)}, {"metrics": value})
    assert alert_of(shared, artifact({"w": np.zeros(2)}, {"metrics": value}))[1] is True
