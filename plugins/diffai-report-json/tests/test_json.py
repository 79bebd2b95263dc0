"""JSON reports are valid, complete, deterministic and follow the published schemas."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from diffai_report_json.document import document
from diffai_report_json.plain import CYCLE, MAX_DEPTH, TOO_DEEP, plain
from diffai_report_json.results import results
from diffai_report_json.write import render_document, render_results
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import ABSENT, ArtifactSummary, Counts, Finding, Identity, NotCompared, Report, Verdict

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
OLD = {"mean": -0.25, "std": 0.5, "min": -1.0, "max": 2.0, "shape": (2, 3), "dtype": "float32", "total_params": 6}
NEW = {"mean": 0.75, "std": 0.25, "min": -1.5, "max": 2.5, "shape": (2, 3), "dtype": "float32", "total_params": 6}
PAIR = {
    "rel_change": 1e-3,
    "max_abs_diff": 0.5,
    "max_abs_diff_index": (1, 2),
    "one_minus_cos": None,
    "n_changed": 5,
    "changed_share": 5 / 6,
}
STATS = Finding("tensor_stats_changed", "fc.weight", old=OLD, new=NEW, values=PAIR)


def side(n_parameters=6):
    return ArtifactSummary("a.safetensors", "safetensors", 1, n_parameters, 24, {"float32": 1})


def report(*findings, identity=Identity.DIFFERENT, not_compared=(), old=None, new=None):
    verdict = Verdict(identity, "one tensor of one changed")
    settings_ = {"epsilon": 0.0, "filter": None}
    return Report(verdict, 1, old or side(), new or side(), Counts(changed=1), findings, not_compared, (), settings_)


def listed(*findings, **more):
    return json.loads("".join(render_results(report(*findings, **more), {})))


def documented(*findings, **more):
    return json.loads("".join(render_document(report(*findings, **more), {})))


def validator(name):
    schema = json.loads((REFERENCE / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


REPORT_SCHEMA = validator("report.schema.json")
RESULTS_SCHEMA = validator("results.schema.json")


# the list of results


def test_equal_artefacts_give_an_empty_list():
    assert "".join(render_results(report(identity=Identity.IDENTICAL_FILES), {})) == "[]\n"


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (Finding("added", "a.b", new=None), {"Added": ["a.b", None]}),
        (Finding("removed", "a.b", old=[1]), {"Removed": ["a.b", [1]]}),
        (Finding("modified", "a.b", old=1, new="x"), {"Modified": ["a.b", 1, "x"]}),
        (Finding("type_changed", "a.b", old=1, new="1"), {"TypeChanged": ["a.b", 1, "1"]}),
        (
            Finding("tensor_added", "w", new={"shape": (2, 3), "dtype": "bfloat16", "params": 6}),
            {"TensorAdded": ["w", {"shape": [2, 3], "dtype": "bfloat16", "params": 6}]},
        ),
        (
            Finding("tensor_removed", "w", old={"shape": (), "dtype": "int4", "params": 1}),
            {"TensorRemoved": ["w", {"shape": [], "dtype": "int4", "params": 1}]},
        ),
        (
            Finding("tensor_renamed", "m.w", old="w", new="m.w", values={"shape": (2,), "dtype": "float32"}),
            {"TensorRenamed": ["w", "m.w", {"shape": [2], "dtype": "float32"}]},
        ),
        (
            Finding("tensor_prefix_changed", "m.*", old="*", new="m.*", values={"n_tensors": 9}),
            {"TensorPrefixChanged": ["*", "m.*", {"n_tensors": 9}]},
        ),
        (
            Finding("tensor_shape_changed", "w", old=(64, 32), new=(128, 32)),
            {"TensorShapeChanged": ["w", [64, 32], [128, 32]]},
        ),
        (
            Finding("tensor_dtype_changed", "w", old="float32", new="bfloat16", values={"rel_change": 0.0}),
            {"TensorDtypeChanged": ["w", "float32", "bfloat16", {"rel_change": 0.0}]},
        ),
        (
            STATS,
            {
                "TensorStatsChanged": [
                    "fc.weight",
                    {**OLD, "shape": [2, 3]},
                    {**NEW, "shape": [2, 3]},
                    {**PAIR, "max_abs_diff_index": [1, 2]},
                ]
            },
        ),
        (
            Finding("tensor_not_compared", "w", level="warning", status="not_measurable", message="unknown type"),
            {"TensorNotCompared": ["w", {"status": "not_measurable", "message": "unknown type"}]},
        ),
    ],
)
def test_a_record_is_a_list_of_key_sides_and_values(finding, expected):
    assert listed(finding) == [expected]
    RESULTS_SCHEMA.validate([expected])


def test_an_analysis_is_an_object_with_its_values_and_only_the_fields_that_are_set():
    full = Finding(
        "quantization_analysis",
        status="estimated",
        level="info",
        values={"sqnr_db": 42.1},
        null={"sqnr_db": 42.0},
        threshold=0.01,
        threshold_source="user",
        coverage=0.5,
        message="3 tensors are above the threshold",
        detail=("a 1", "b 2"),
    )
    bare = Finding("learning_progress", level="info", values={"trend": "improving"})
    assert listed(full, bare) == [
        {
            "QuantizationAnalysis": {
                "sqnr_db": 42.1,
                "status": "estimated",
                "null": {"sqnr_db": 42.0},
                "threshold": 0.01,
                "threshold_source": "user",
                "coverage": 0.5,
                "message": "3 tensors are above the threshold",
                "detail": ["a 1", "b 2"],
            }
        },
        {"LearningProgress": {"trend": "improving", "status": "measured"}},
    ]


def test_a_value_named_like_a_field_of_the_envelope_is_kept_beside_it():
    finding = Finding("convergence_analysis", level="info", values={"status": "converged", "stability": 0.9})
    assert listed(finding) == [
        {"ConvergenceAnalysis": {"status_value": "converged", "stability": 0.9, "status": "measured"}}
    ]


def test_statistics_that_were_asked_for_are_there():
    finding = Finding("tensor_statistics", "w", level="info", old={"q500": 0.5}, new={"q500": 0.25}, values={"ks": 1})
    assert listed(finding) == [{"TensorStatistics": ["w", {"q500": 0.5}, {"q500": 0.25}, {"ks": 1}]}]


def test_changes_of_level_info_are_left_out_because_they_are_none():
    same = Finding("tensor_within_tolerance", "w", level="info", old=OLD, new=NEW, values=PAIR)
    assert listed(same, identity=Identity.EQUAL_VALUES) == []


def test_further_lines_of_a_record_are_kept():
    finding = Finding("modified", "k", old=1, new=2, detail=("- 1", "+ 2"))
    assert listed(finding) == [{"Modified": ["k", 1, 2, {"detail": ["- 1", "+ 2"]}]}]
    assert documented(finding)["findings"][0]["detail"] == ["- 1", "+ 2"]


def test_a_failed_plugin_is_named():
    failed = Finding("plugin_failed", status="not_measurable", level="error", message="KeyError", plugin="acme")
    assert listed(failed) == [
        {"PluginFailed": {"status": "not_measurable", "level": "error", "plugin": "acme", "message": "KeyError"}}
    ]


def test_what_was_not_compared_is_told_once_and_the_list_is_not_empty():
    finding = Finding("tensor_not_compared", "w", level="warning", status="not_measurable", message="opaque")
    both = (NotCompared("w", "opaque"), NotCompared("graph", "no comparator reads graphs"))
    told = listed(finding, not_compared=both, identity=Identity.INCONCLUSIVE)
    assert [next(iter(item)) for item in told] == ["TensorNotCompared", "NotCompared"]
    assert told[1] == {"NotCompared": ["graph", "no comparator reads graphs"]}


def test_one_result_stands_on_each_line():
    lines = "".join(render_results(report(STATS, Finding("added", "a\nb", new="c\nd\x7f")), {})).splitlines()
    assert len(lines) == 4
    assert json.loads(lines[2]) == {"Added": ["a\nb", "c\nd\x7f"]}
    assert lines[2].isprintable()


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_jq_selects_an_analysis_as_the_scripts_do():
    text = "".join(render_results(report(STATS, Finding("learning_progress", values={"trend": "flat"})), {}))
    command = ["jq", "-c", ".[] | select(.LearningProgress) | .LearningProgress.trend"]
    assert subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout == '"flat"\n'


# the document


def test_the_document_holds_what_the_scripts_read():
    shape = Finding("tensor_shape_changed", "w", old=(2,), new=(3,))
    epoch = Finding("modified", "epoch", old=1, new=2)
    ignored = Finding("modified", "date", old=1, new=2, level="info")
    found = documented(STATS, shape, epoch, ignored, old=side(6), new=side(2))
    assert found["param_diff"] == found["comparison"]["param_diff"] == -4
    assert [item["where"] for item in found["comparison"]["structure_changes"]] == ["w"]
    assert [item["where"] for item in found["comparison"]["significant_changes"]] == ["fc.weight", "epoch"]
    assert [item["where"] for item in found["findings"]] == ["fc.weight", "w", "epoch", "date"]
    assert found["verdict"] == {"identity": "different", "message": "one tensor of one changed"}
    assert found["settings"] == {"epsilon": 0.0, "filter": None}
    REPORT_SCHEMA.validate(found)


def test_an_absent_side_is_missing_and_a_null_side_is_null():
    record = documented(Finding("added", "a", new=None))["findings"][0]
    assert record["new"] is None
    assert "old" not in record


@pytest.mark.parametrize("break_", ["schema", "exit_code", "verdict", "findings", "param_diff"])
def test_the_schema_refuses_a_document_without_a_required_field(break_):
    found = documented(STATS)
    del found[break_]
    assert not REPORT_SCHEMA.is_valid(found)


def test_the_schemas_refuse_what_is_not_a_report():
    assert not REPORT_SCHEMA.is_valid({**documented(STATS), "schema": "diffai-report/2"})
    assert not RESULTS_SCHEMA.is_valid([{"Added": ["k", 1], "Removed": ["k", 1]}])
    assert not RESULTS_SCHEMA.is_valid([{"TensorShapeChanged": ["k", [1], "2"]}])
    assert not RESULTS_SCHEMA.is_valid({})


# values


def test_values_that_json_lacks_are_written_as_documented():
    digest = hashlib.blake2b(b"ab", digest_size=32).hexdigest()
    value = {
        "nan": math.nan,
        "inf": math.inf,
        "minus": -math.inf,
        "bytes": b"ab",
        "array": np.array([[1.5, math.nan]], dtype=np.float32),
        "scalar": np.int64(7),
        "flag": np.bool_(True),
        "complex": 1 - 2j,
        "set": {2, 10, 1},
        "level": Identity.DIFFERENT,
        "pattern": re.compile("a.*"),
        "gone": ABSENT,
    }
    assert plain(value) == {
        "nan": "NaN",
        "inf": "Infinity",
        "minus": "-Infinity",
        "bytes": {"bytes": 2, "blake2b": digest},
        "array": [[1.5, "NaN"]],
        "scalar": 7,
        "flag": True,
        "complex": {"real": 1.0, "imag": -2.0},
        "set": [1, 10, 2],
        "level": "different",
        "pattern": "a.*",
    }


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_integers_and_floats_are_exact(integer, number):
    assert json.loads(json.dumps(plain([integer, number]))) == [integer, number]


def test_an_integer_too_long_for_decimal_readers_is_hexadecimal():
    huge = 7**9000
    assert int(json.loads(json.dumps(plain(huge))), 16) == huge
    assert int(json.loads(json.dumps(plain(-huge))), 16) == -huge


def test_a_lone_surrogate_becomes_its_escape_and_other_text_stays():
    assert plain("a\udc80b") == "a\\udc80b"
    assert plain("模型 \U0001f600") == "模型 \U0001f600"


def test_keys_that_differ_only_in_type_are_both_kept():
    assert plain({1: "int", "1": "str", None: 0, False: 2.5}) == {"1": "int", "1 (str)": "str", "null": 0, "false": 2.5}


def test_deep_and_circular_values_end_with_a_string_that_says_so():
    deep = current = []
    for _ in range(5000):
        current.append([])
        current = current[0]
    written = json.dumps(plain(deep))
    assert written == "[" * MAX_DEPTH + json.dumps(TOO_DEEP) + "]" * MAX_DEPTH
    circle = {"a": [1, 1]}
    circle["self"] = [circle, circle]
    assert plain(circle) == {"a": [1, 1], "self": [CYCLE, CYCLE]}


def test_a_value_met_twice_but_not_inside_itself_is_written_twice():
    shared = [1]
    assert plain({"a": shared, "b": shared}) == {"a": [1], "b": [1]}


def test_no_memory_address_is_written():
    assert plain(object()) == "<object object>"


# laws

TEXT = st.text(st.characters(), max_size=20)  # every code point, lone surrogates and controls among them
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=5) | st.complex_numbers()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(), inner, max_size=3),
    max_leaves=6,
)
SIDES = st.just(ABSENT) | VALUES
KINDS = st.sampled_from(["node_added", "learning_progress", "acme", "größer", "", "a-b c"]) | TEXT
KINDS = KINDS.filter(lambda kind: not kind.startswith("tensor_"))
FINDINGS = st.builds(
    Finding,
    kind=KINDS,
    where=TEXT,
    status=st.sampled_from(["measured", "estimated", "bounded", "hint", "not_measurable"]),
    level=st.sampled_from(["info", "change", "warning", "error"]),
    old=SIDES,
    new=SIDES,
    values=st.dictionaries(TEXT, VALUES, max_size=3),
    null=VALUES,
    threshold=VALUES,
    threshold_source=TEXT,
    coverage=st.none() | st.floats(0, 1),
    message=TEXT,
    detail=st.lists(TEXT, max_size=2).map(tuple),
    plugin=TEXT,
)
LISTS = st.lists(FINDINGS, max_size=4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(LISTS, st.lists(st.builds(NotCompared, TEXT, TEXT), max_size=2))
def test_any_findings_give_valid_deterministic_ascii_that_follows_the_schemas(findings, not_compared):
    made = report(*findings, not_compared=tuple(not_compared))
    for render, schema in ((render_document, REPORT_SCHEMA), (render_results, RESULTS_SCHEMA)):
        text = "".join(render(made, {}))
        assert text == "".join(render(made, {}))
        assert text.isascii()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
        parsed = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        json.dumps(parsed, ensure_ascii=False).encode()  # no lone surrogate
        schema.validate(parsed)
    assert parsed == list(results(made))


def many(count):
    return report(*(Finding("modified", f"key[{index}]", old=index, new=-index) for index in range(count)))


@pytest.mark.parametrize("render", [render_document, render_results])
def test_many_findings_are_written_in_small_pieces(render):
    assert max(map(len, render(many(20_000), {}))) < 1000


@pytest.mark.parametrize("render", [render_document, render_results])
def test_memory_stays_small_against_the_text_that_is_written(render):
    made = many(10_000)
    tracemalloc.start()
    written = sum(map(len, render(made, {})))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written > 400_000
    assert peak < written / 2


def test_the_document_as_data_is_what_is_written():
    data = document(report(STATS))
    assert [dict(row) for row in data["findings"]] == documented(STATS)["findings"]
