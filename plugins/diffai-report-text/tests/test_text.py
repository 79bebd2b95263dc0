"""The text report keeps its grammar, and no number says more than was measured."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from diffai_report_text.render import render
from hypothesis import given
from hypothesis import strategies as st

from diffai_core.plugin import ArtifactSummary, Counts, Finding, Identity, NotCompared, Report, Verdict

OLD = {"mean": -0.00017, "std": 0.05142, "min": -1.0, "max": 2.0, "shape": [10, 64], "dtype": "float32"}
NEW = {"mean": -0.00012, "std": 0.07164, "min": -1.5, "max": 2.0, "shape": [10, 64], "dtype": "float32"}
PAIR = {
    "rel_change": 0.7123,
    "max_abs_diff": 0.09302,
    "max_abs_diff_index": [1, 203],
    "one_minus_cos": 4.81e-6,
    "n_changed": 639,
    "changed_share": 639 / 640,
}


def side(path="base.safetensors", **more):
    fields = {"n_tensors": 148, "n_parameters": 22_713_216, "n_bytes": 90_852_864, "dtypes": {"float32": 148}}
    return ArtifactSummary(path, "safetensors", **(fields | more))


def report(*findings, identity=Identity.DIFFERENT, message="2 of 148 tensors changed", not_compared=(), new=None):
    new = new or side("finetuned.safetensors")
    return Report(Verdict(identity, message), 1, side(), new, Counts(), findings, not_compared)


def text(*findings, width=None, color=False, full=False, verbose=False, **more):
    options = {"width": width, "color": color, "full": full, "verbose": verbose}
    return "".join(render(report(*findings, **more), options))


def lines(*findings, **more):
    """Return the lines below the head."""
    return text(*findings, **more).split("\n\n", 2)[2].splitlines()


def stats(where="fc1.weight", **more):
    return Finding("tensor_stats_changed", where, old=OLD, new=NEW, values=PAIR | more)


# the frame


def test_the_first_line_is_the_verdict_and_the_head_is_aligned():
    found = text(stats(), new=side("x.safetensors", n_parameters=7, n_bytes=28, n_tensors=1)).splitlines()
    assert found[:5] == [
        "different: 2 of 148 tensors changed",
        "",
        "  old  base.safetensors  safetensors  148 tensors  22,713,216 params  float32   90.9 MB",
        "  new  x.safetensors     safetensors     1 tensor           7 params  float32  28 bytes",
        "",
    ]


def test_the_head_of_configs_has_no_columns_for_tensors():
    config = ArtifactSummary("a.json", "json", 0, 0, 0, {})
    made = Report(Verdict(Identity.DIFFERENT, ""), 1, config, config, Counts(), ())
    assert "".join(render(made, {})) == "different\n\n  old  a.json  json\n  new  a.json  json\n"


def test_no_differences_are_said_in_words():
    same = lines(identity=Identity.IDENTICAL_FILES, message="")
    assert same == ["No differences found."]


@pytest.mark.parametrize(
    "more",
    [
        {"identity": Identity.INCONCLUSIVE},
        {"identity": Identity.IDENTICAL_TENSORS, "not_compared": (NotCompared("graph", "nothing reads it"),)},
    ],
)
def test_what_was_not_compared_is_never_called_equal(more):
    assert "No differences found." not in text(**more)


def test_a_metadata_change_beside_identical_tensors_is_a_difference():
    change = Finding("modified", "__metadata__.epoch", old="1", new="2")
    assert lines(change, identity=Identity.IDENTICAL_TENSORS) == ['  ~ __metadata__.epoch: "1" -> "2"']


# the grammar of records


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (Finding("added", "a.b", new=1.5), "  + a.b: 1.5"),
        (Finding("removed", "a.b", old={"x": [1, None, True]}), '  - a.b: {"x": [1, null, true]}'),
        (Finding("modified", "a.b", old="1", new="2"), '  ~ a.b: "1" -> "2"'),
        (Finding("modified", "lr", old=1e-5, new=math.nan), "  ~ lr: 1e-05 -> NaN"),
        (Finding("modified", "n", old=2**60, new=2**60 + 1), "  ~ n: 1152921504606846976 -> 1152921504606846977"),
        (Finding("modified", "b", old=b"\0\1", new=b"\0\2"), "  ~ b: <2 bytes: 0001> -> <2 bytes: 0002>"),
        (Finding("type_changed", "k", old=1, new="1"), '  ! k: 1 (Number) -> "1" (String)'),
        (Finding("type_changed", "k", old=None, new=[1]), "  ! k: null (Null) -> [1] (Array)"),
        (Finding("type_changed", "k", old=True, new={}), "  ! k: true (Boolean) -> {} (Object)"),
        (
            Finding("type_changed", "k", old=1, new="2024-01-01", values={"old_type": "Number", "new_type": "Date"}),
            '  ! k: 1 (Number) -> "2024-01-01" (Date)',
        ),
        (Finding("tensor_stats_changed", "w"), "  ~ w"),
        (Finding("type_changed", "k", old=1, new=1.0), "  ! k: 1 (Integer) -> 1.0 (Float)"),
        (
            Finding("tensor_added", "w", new={"shape": [2, 3], "dtype": "float32", "params": 6}),
            "  + w: shape=[2, 3], dtype=f32, params=6",
        ),
        (
            Finding("tensor_removed", "w", old={"shape": [], "dtype": "bfloat16", "params": 1}),
            "  - w: shape=[], dtype=bf16, params=1",
        ),
        (
            Finding("tensor_kept", "w", level="info", new={"shape": [2], "dtype": "int8", "params": 2}),
            "    w: shape=[2], dtype=i8, params=2",
        ),
        (
            Finding("tensor_renamed", "m.w", old="w", new="m.w", values={"shape": [2], "dtype": "float32"}),
            "  ~ m.w: renamed from w",
        ),
        (
            Finding("tensor_prefix_changed", "m.*", old="*", new="m.*", values={"n_tensors": 9}, message="9 tensors"),
            "  ~ m.*: renamed from *, n_tensors=9",
        ),
        (
            Finding("tensor_shape_changed", "w", old=(64, 32), new=(128, 32), values={"reshape_only": False}),
            "  ! w: [64, 32] -> [128, 32] (shape)",
        ),
        (
            Finding("tensor_shape_changed", "w", old=(2, 3), new=(6,), values={"reshape_only": True}),
            "  ! w: [2, 3] -> [6] (shape), same values in the same order",
        ),
        (
            Finding("tensor_dtype_changed", "w", old="float32", new="bfloat16", values={"rel_change": 0.00166}),
            "  ! w: float32 -> bfloat16 (dtype), rel_change=0.00166",
        ),
        (
            stats(),
            (
                "  ~ fc1.weight: mean=-0.0002->-0.0001, std=0.0514->0.0716, rel_change=0.712, max_abs=0.093 at [1, 203]"
                ", 1-cos=4.81e-06, changed=99.8%"
            ),
        ),
        (
            Finding("tensor_stats_changed", "w", old={"mean": None, "std": math.inf}, new={}, values={}),
            "  ~ w: mean=n/a->n/a, std=Infinity->n/a",
        ),
        (
            Finding("tensor_stats_changed", "w", old=OLD, new=NEW, values={"rel_change": None, "ks": 0.25}),
            "  ~ w: mean=-0.0002->-0.0001, std=0.0514->0.0716, rel_change=n/a, ks=0.25",
        ),
        (
            Finding(
                "tensor_statistics",
                "w",
                level="info",
                old={"mean": 0.12345, "n_zero": 0, "skew": None},
                new={"mean": 0.12346, "n_zero": 0, "skew": 0.5},
                values={"ks_d": 0.25},
            ),
            "    w: mean=0.123->0.123, n_zero=0, skew=n/a->0.5, ks_d=0.25",
        ),
        (
            Finding("tensor_statistics", "w", status="bounded", level="info", old={"q500": 4.0}, new={"q500": 5.0}),
            "    w: status=bounded, q500=4->5",
        ),
        (Finding("node_added", "n1", new={"op": "Add"}), '  + n1: {"op": "Add"} (node_added)'),
        (Finding("node_moved", "n1", old=1, new=2, values={"hops": 3}), "  ~ n1: 1 -> 2 (node_moved), hops=3"),
    ],
)
def test_a_record_is_one_line_of_the_grammar(finding, line):
    assert lines(finding) == [line]


def test_the_order_of_the_findings_is_kept():
    found = [line.split()[1] for line in lines(stats("b"), Finding("removed", "a", old=1), stats("c"))]
    assert found == ["b:", "a:", "c:"]


def test_a_message_stands_below_the_line():
    assert lines(Finding("modified", "k", old=1, new=2, message="the text is cut"))[1] == "      the text is cut"


def test_tensors_that_did_not_change_are_shown_only_in_full():
    same = Finding("tensor_within_tolerance", "w", level="info", old=OLD, new=NEW, values=PAIR)
    bits = Finding("tensor_bits_changed", "v", level="info", values={"n_other_bits": 2}, message="other bits")
    quiet = lines(same, bits, identity=Identity.EQUAL_VALUES)
    assert quiet == ["No differences found."]
    full = lines(same, bits, identity=Identity.EQUAL_VALUES, full=True)
    assert full[2].endswith("within tolerance")
    assert full[3:] == ["  ~ v: n_other_bits=2, equal values, other bits"]


def test_details_show_extremes_and_counts():
    line = lines(stats(), full=True)[0]
    assert line.endswith("changed=99.8%, min=-1->-1.5, max=2->2, n_changed=639")
    assert lines(stats(), verbose=True) == [line]


# numbers


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (1.0, "100%"), (1e-12, "1e-10%"), (1 - 1e-9, "99.9999999%"), (0.5, "50%"), (0.9998, "99.98%")],
)
def test_a_share_is_rounded_neither_to_all_nor_to_none(share, shown):
    assert lines(stats(changed_share=share))[0].endswith(f"changed={shown}")


@given(st.floats(0, 1))
def test_only_none_is_0_percent_and_only_all_is_100_percent(share):
    shown = re.search(r"changed=(\S+)%$", lines(stats(changed_share=share))[0])[1]
    assert (float(shown) == 0) == (share == 0)
    assert (float(shown) == 100) == (share == 1)
    assert math.isclose(float(shown), share * 100, rel_tol=5e-3, abs_tol=1e-300)


def tolerance(**values):
    return Finding("tolerance_to_pass", level="info", values=values)


def test_the_tolerance_that_would_pass_comes_last():
    found = lines(tolerance(atol=0.093, rtol=0.71, tensor="fc.weight"), Finding("added", "k", new=1))
    assert found == ["  + k: 1", "", "  tolerance that would pass: atol 0.093 or rtol 0.71 (fc.weight)"]
    assert lines(tolerance(atol=None, rtol=None, tensor="w"))[-1] == "  tolerance that would pass: none (w)"


@given(st.floats(5e-324, 1e308))
def test_the_tolerance_that_would_pass_is_never_too_small(limit):
    shown = float(re.search(r"atol (\S+)", lines(tolerance(atol=limit))[-1])[1])
    assert shown >= limit
    assert shown <= limit * 1.011 or limit < 1e-300


def test_numbers_of_numpy_look_like_numbers():
    old, new = np.float32(1.5), np.array([[1, 2]], dtype=np.int8)
    assert lines(Finding("modified", "k", old=old, new=new)) == ["  ~ k: 1.5 -> [[1, 2]]"]


# analyses


def test_an_analysis_is_one_line_for_scripts_and_two_for_people():
    finding = Finding(
        "learning_progress",
        level="info",
        values={"trend": "improving", "magnitude": 0.05431, "scheme": "int8 per row", "steps": 1200, "loss": None},
        coverage=0.31,
        message="trend from validation loss 0.412 -> 0.367",
        null={"magnitude": 0.01},
        threshold=0.05,
        threshold_source="user",
    )
    assert lines(finding) == [
        (
            "learning_progress: status=measured, trend=improving, magnitude=0.0543, scheme=int8 per row, steps=1200,"
            " loss=n/a, coverage=0.31"
        ),
        "  trend from validation loss 0.412 -> 0.367",
        "  null: magnitude=0.01; threshold: 0.05 (user)",
    ]


def test_what_cannot_be_measured_says_what_it_needs():
    finding = Finding("attention_pattern_diff", status="not_measurable", level="info", message="needs: head count")
    assert lines(finding) == ["attention_pattern_diff: status=not_measurable", "  needs: head count"]


def test_text_that_could_be_taken_for_the_next_field_is_quoted():
    finding = Finding("acme", level="info", where="a, b", values={"x": "1, y=2", "status": "ok", "e": ""})
    assert lines(finding) == ['acme: where="a, b", status=measured, x="1, y=2", status_value=ok, e=""']


def test_a_measure_is_not_rounded_to_a_whole_number():
    assert lines(Finding("acme", level="info", values={"similarity": 0.999999, "n": 12345.678})) == [
        "acme: status=measured, similarity=0.999999, n=12345.7"
    ]


def test_the_structure_block_has_the_known_form():
    values = {
        "structural_changes": [],
        "parameters_old": 11_689_512,
        "parameters_new": 11_689_512,
        "parameters_changed_share": 0.943,
    }
    assert lines(Finding("model_structure", level="info", values=values)) == [
        "Model Changes:",
        "  No structural changes",
        "  Parameters: 11,689,512 -> 11,689,512 (0% change)",
        "  Weight updates: 94.3% of parameters modified",
    ]


def test_the_structure_block_lists_changes_and_growth():
    values = {
        "structural_changes": ["+ fc.bias: shape=[2]", "evil\x1b[31m"],
        "parameters_old": 1000,
        "parameters_new": 1500,
        "parameters_changed_share": None,
    }
    assert lines(Finding("model_structure", level="info", values=values))[1:] == [
        "  + fc.bias: shape=[2]",
        "  evil\\u001b[31m",
        "  Parameters: 1,000 -> 1,500 (+50% change)",
        "  Weight updates: not measurable",
    ]


def test_a_failed_plugin_is_named_and_the_rest_is_shown():
    failed = Finding("plugin_failed", level="error", message="failed while comparing", plugin="acme")
    unreadable = Finding("unreadable", "w", level="error", message="no\nbytes")
    assert lines(stats(), failed, unreadable)[2:] == ["! acme: failed while comparing", "! w: no\\nbytes"]


def test_what_was_not_compared_is_said_once_with_its_reason():
    finding = Finding("tensor_not_compared", "w", level="warning", message="unknown dtype")
    items = (NotCompared("w", "unknown dtype"), NotCompared("graph", "nothing reads graphs"))
    assert lines(finding, not_compared=items) == [
        "not compared: w: unknown dtype",
        "not compared: graph: nothing reads graphs",
    ]


def test_foreign_code_is_one_line_that_stands_out_and_shows_no_control_character():
    message = "evil.pt: wants posix.\x1b[31msystem to be imported or called; nothing was"
    finding = Finding(
        "foreign_code", "evil.pt", level="warning", values={"callables": ["posix.system"]}, message=message
    )
    assert lines(finding) == ["! evil.pt: wants posix.\\u001b[31msystem to be imported or called; nothing was"]
    assert lines(finding, full=True)[1].startswith("foreign_code: where=evil.pt, status=measured, callables=")


def test_how_tensors_were_paired_by_content_is_said_in_words():
    finding = Finding(
        "tensors_paired_by_content", level="info", values={"n_paired": 3}, message="3 tensors were paired"
    )
    assert lines(finding) == ["3 tensors were paired"]


def test_an_error_that_names_its_file_does_not_name_it_twice():
    finding = Finding("unreadable", "a/model.bin", level="error", message="a/model.bin: byte 8: is damaged")
    assert lines(finding) == ["! a/model.bin: byte 8: is damaged"]


def test_the_role_of_an_added_tensor_is_a_plain_word():
    finding = Finding("tensor_added", "q.lora_A", new={"shape": [4, 8], "dtype": "float32", "role": "adapter"})
    assert lines(finding) == ["  + q.lora_A: shape=[4, 8], dtype=f32, role=adapter"]
