"""The report says what the findings say, and concludes only what follows from them."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_compare_report import plugin
from diffai_compare_report.report import report

from diffai_core.plugin import GATE, Comparison, Finding, KeyFilter, NotCompared, Tolerances
from diffai_core.testing import artifact
from diffai_core.testing.running import run_comparator

SPEC = next(spec for spec in plugin.diffai_comparators() if spec.name == "generate-report")


def written(*findings, old=None, new=None, **more):
    """Return what the report says of findings alone."""
    sides = (old or artifact(), new or artifact())
    comparison = Comparison(*sides, (), KeyFilter(), Tolerances(), findings=findings, **more)
    (finding,) = report(comparison, {})
    return finding


def compared(old, new, tree=(None, None), **names):
    (finding,) = run_comparator(SPEC, artifact(old, tree[0], **names), artifact(new, tree[1]), {})
    return finding


def texts(finding, part):
    return [item["text"] for item in finding.values[part]]


def conclusion(finding, beginning):
    (found,) = [item for item in finding.values["conclusions"] if item["text"].startswith(beginning)]
    return found


def evidence(finding, kind):
    return [item["evidence"] for item in finding.values["findings"] if item["evidence"]["kind"] == kind]


def layers(n_blocks):
    return {f"model.layers.{number}.mlp.up_proj.weight": np.arange(1.0, 7) + number for number in range(n_blocks)}


def test_how_many_tensors_changed_and_by_how_much_is_measured():
    old = layers(4)
    new = {key: array * (1 + 0.1 * (number >= 2) * (number - 1)) for number, (key, array) in enumerate(old.items())}
    finding = compared(old, new)
    (counts,) = evidence(finding, "tensors")
    assert counts["numbers"] == {
        "n_tensors": 4,
        "n_changed": 2,
        "n_unchanged": 2,
        "changed_parameter_share": 0.5,
    }
    (sizes,) = evidence(finding, "tensor_stats_changed")
    assert sizes["where"] == "model.layers.3.mlp.up_proj.weight"
    assert sizes["numbers"] == {
        "median_rel_change": pytest.approx(0.15),
        "largest_rel_change": pytest.approx(0.2),
    }
    assert finding.coverage == 1.0


def test_the_blocks_that_changed_are_named():
    old = layers(12)
    new = {key: array * (2 if number in {3, 4, 5, 9} else 1) for number, (key, array) in enumerate(old.items())}
    found = conclusion(compared(old, new), "The change is confined")
    assert found["text"].endswith("model.layers 3-5, 9 changed, model.layers 0-2, 6-8, 10-11 did not.")
    assert found["because"] == ["tensor_stats_changed"]


def test_where_everything_changed_nothing_is_called_confined():
    old = layers(3)
    found = texts(compared(old, {key: array * 2 for key, array in old.items()}), "conclusions")
    assert "Every parameter tensor changed; no part of OLD was kept." in found
    assert not [text for text in found if "confined" in text]


def test_equal_artefacts_have_no_difference():
    finding = compared(layers(2), layers(2))
    assert finding.values["title"] == "Change report: no difference found"
    assert texts(finding, "conclusions") == ["No analysis that ran found a difference between OLD and NEW."]


def test_a_changed_shape_does_not_fit_and_is_not_measured():
    shape = Finding("tensor_shape_changed", "w", old=[2], new=[3])
    finding = written(shape, old=artifact({"w": np.ones(2)}), new=artifact({"w": np.ones(3)}))
    assert texts(finding, "findings")[-1] == "1 tensor of another shape: w"
    whole = compared({"w": np.ones(2), "v": np.ones(2)}, {"w": np.ones(3), "v": np.ones(2)})
    reason = "another shape, so how much the elements changed has no measure"
    assert {"what": "w", "why": reason} in whole.values["limits"]
    many = compared({f"w{n}": np.ones(2) for n in range(9)}, {f"w{n}": np.ones(3) for n in range(9)})
    assert many.values["limits"] == [{"what": "w0, w1, w2 and 6 more", "why": reason}]
    assert whole.coverage == pytest.approx(2 / 5)


def test_not_a_number_in_new_is_damage():
    old = {"w": np.ones(8, np.float32)}
    new = {"w": np.array([1, 1, np.nan, np.inf, 1, 1, 1, 1], np.float32)}
    finding = compared(old, new)
    assert conclusion(finding, "NEW is damaged or diverged")["text"].endswith("1 tensor gained NaN or infinite values.")
    numbers = [item["numbers"] for item in evidence(finding, "tensor_stats_changed")]
    assert {"n_not_finite_old": 0, "n_not_finite_new": 2} in numbers
    assert "damaged" not in str(texts(compared(new, old), "conclusions"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"val_loss": (0.5, 0.25)}, ["better: val_loss 0.5 -> 0.25"]),
        ({"val_loss": (0.25, 0.5)}, ["worse: val_loss 0.25 -> 0.5"]),
        ({"accuracy": (0.25, 0.5)}, ["better: accuracy 0.25 -> 0.5"]),
        ({"val_loss": ("0.25", "0.5")}, ["worse: val_loss 0.25 -> 0.5"]),
        ({"val_loss_before": ("0.25", "0.5")}, []),
        ({"val_loss": (0.5, 0.5)}, []),
    ],
)
def test_metrics_of_known_direction_say_what_is_better(values, expected):
    place = "__metadata__" if any(isinstance(side, str) for sides in values.values() for side in sides) else "metrics"
    trees = tuple({place: {name: sides[number] for name, sides in values.items()}} for number in (0, 1))
    found = texts(compared({"w": np.ones(2)}, {"w": np.ones(2) * 2}, trees), "conclusions")
    told = [text for text in found if text.startswith("By the metrics")]
    assert len(told) == len(expected)
    assert all(part in text for part, text in zip(expected, told, strict=True))
    assert any(text.startswith("Whether NEW is better cannot be said") for text in found) == (not expected)


@pytest.mark.parametrize(
    ("answers", "beginning"),
    [
        ([True, True], "Accepted by every gate that was asked for (2)."),
        ([True, False], "Not accepted: 1 of 2 gates failed (rule 1)."),
        ([True, None], "Not decided: rule 1 could not be measured."),
    ],
)
def test_gates_decide_first(answers, beginning):
    gates = [Finding(GATE, values={"rule": f"rule {n}", "passed": passed}) for n, passed in enumerate(answers)]
    named = Finding("named_change", level="info", message="cast to bfloat16")
    assert texts(written(named, *gates), "conclusions")[0] == beginning


def test_every_answer_is_a_finding_with_its_numbers_and_status():
    answer = Finding(
        "quantization_analysis",
        status="estimated",
        level="info",
        values={"sqnr_db": 42.1, "layers": [1, 2], "worst": "lm_head"},
        message="int8 per row",
    )
    finding = written(answer)
    assert texts(finding, "findings") == ["quantization analysis: int8 per row"]
    assert evidence(finding, "quantization_analysis") == [
        {
            "kind": "quantization_analysis",
            "where": "",
            "numbers": {"sqnr_db": 42.1, "worst": "lm_head"},
            "status": "estimated",
        }
    ]
    assert finding.values["limits"] == [
        {"what": "quantization analysis", "why": "estimated, not measured: int8 per row"}
    ]


def test_what_cannot_be_measured_is_a_limit_and_no_finding():
    finding = written(Finding("attention_analysis", status="not_measurable", level="info", message="needs: head count"))
    assert finding.values["limits"] == [{"what": "attention analysis", "why": "needs: head count"}]
    assert finding.values["findings"] == []


def test_what_a_loader_could_not_read_is_a_limit():
    side = artifact(not_readable=[NotCompared("x.bin", "no reader")])
    assert {"what": "x.bin", "why": "no reader"} in written(new=side).values["limits"]


def test_warnings_want_a_look_and_the_title_names_the_change():
    anomaly = Finding("anomaly", "fc.weight", level="warning", values={"z": 9.5})
    named = Finding("named_change", level="info", message="pruned (40 % of the weights); also metadata")
    finding = written(anomaly, named)
    assert finding.values["title"] == "Change report: pruned"
    assert texts(finding, "findings")[1] == "anomaly in fc.weight: z 9.5"
    assert conclusion(finding, "1 finding wants a person")["because"] == ["anomaly"]


def test_many_warnings_are_counted():
    found = written(*(Finding("anomaly", f"w{number}", level="warning") for number in range(1000)))
    assert found.values["n_findings"] == 31
    assert texts(found, "findings")[-1] == "970 more findings want a look"


def test_the_lines_fit_a_terminal():
    keys = [f"{'layer.' * 10}{number}" for number in range(40)]
    finding = written(*(Finding("anomaly", key, level="warning", message="x " * 99) for key in keys))
    assert max(map(len, finding.detail)) <= 80


def test_names_of_files_change_nothing():
    old, new = layers(2), layers(3)
    assert compared(old, new, name="epoch_50_lr_0.01.pt") == compared(old, new)


def test_the_last_value_of_a_history_is_a_metric():
    logs = [
        {"log_history": [{"step": step, "eval_loss": loss, "lr": loss} for step, loss in enumerate(losses)]}
        for losses in ([3.0, 2.0], [3.0, 2.0, 1.5, float("nan")])
    ]
    found = texts(compared({"w": np.ones(2)}, {"w": np.ones(2) * 2}, tuple(logs)), "conclusions")
    (told,) = [text for text in found if text.startswith("By the metrics")]
    assert told.startswith("By the metrics in the files NEW is better: eval_loss 2 -> 1.5;")
