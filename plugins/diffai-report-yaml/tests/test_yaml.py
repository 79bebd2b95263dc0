"""YAML reports hold exactly the data of the JSON reports, and every reader can load them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import diffai_report_json.write as json_report
import pytest
import yaml
from diffai_report_yaml.dump import dump
from diffai_report_yaml.write import render_document, render_results
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import ABSENT, ArtifactSummary, Counts, Finding, Identity, NotCompared, Report, Verdict

SIDE = ArtifactSummary("a.safetensors", "safetensors", 1, 6, 24, {"float32": 1})
EMPTY = Report(Verdict(Identity.DIFFERENT, "one tensor: changed"), 1, SIDE, SIDE, Counts(changed=1), ())
STATS = Finding(
    "tensor_stats_changed",
    "fc.weight",
    old={"mean": 1e-9, "std": 0.5, "shape": (2, 3), "dtype": "float32"},
    new={"mean": 1e22, "std": math.nan, "shape": (2, 3), "dtype": "float32"},
    values={"rel_change": 1e-3, "max_abs_diff_index": (1, 2), "one_minus_cos": None},
)
TRAPS = ["no", "yes", "on", "off", "y", "n", "true", "False", "null", "~", "NULL", "1:30", "1e5", "1.5", "0x10", "0o7"]
TRAPS += ["007", "1_000", ".inf", ".nan", "NaN", "2024-01-01", "=", "<<", "-", "?", "!", "&", "*", "%", "@", "{}", "[]"]
TRAPS += ["{a}", "[a", "a,b", "a:b", "#a", "a#", "'", '"', "''"]
TRAPS += [
    "",
    " ",
    " a",
    "a ",
    "a: b",
    "a #b",
    "- a",
    "a\nb",
    "a\n",
    "\n",
    "\t",
    "\x00",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\u2028",
]
TRAPS += [
    "...",
    "---",
    "%YAML 1.1",
    "!!python/object/apply:os.system [id]",
    "\ufeff",
    "\ufffe",
    "\U0001f600",
    "\\ud83d",
]
TRAPS += ["\\\U0010ffff\\", "\\ud83d\\ude00", "x" * 5000, "a " * 500, "é" * 130]


def report(*findings, **more):
    return replace(EMPTY, findings=findings, **more)


def both(made):
    """Return (from YAML, from JSON) for the document and for the list of results."""
    for form in ("render_document", "render_results"):
        text = "".join(globals()[form](made, {}))
        yield text, json.loads("".join(getattr(json_report, form)(made, {})))


def test_equal_artefacts_give_an_empty_list():
    assert "".join(render_results(report(), {})) == "[]\n"


def test_the_list_of_results_is_a_list_of_plain_maps():
    text = "".join(render_results(report(STATS, Finding("modified", "epoch", old="1", new="no")), {}))
    assert text.endswith('- Modified: [epoch, "1", "no"]\n')
    assert yaml.safe_load(text)[0]["TensorStatsChanged"][1] == {
        "mean": 1e-9,
        "std": 0.5,
        "shape": [2, 3],
        "dtype": "float32",
    }


def test_the_document_is_equal_to_the_json_document():
    made = report(STATS, not_compared=(NotCompared("graph", "nothing reads graphs: sorry"),), warnings=("a: b",))
    made = replace(made, settings={"epsilon": 0.0, "tolerance_per_layer": ["a=1,2"], "filter": None})
    for text, expected in both(made):
        assert yaml.safe_load(text) == expected


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_a_string_that_looks_like_something_else_comes_back_as_that_string(trap, loader):
    value = {"key": trap, trap: [trap, [trap], {trap: trap}, {}, [], [[trap, []]], {"a": {trap: {"b": [trap]}}}]}
    for shape in (value, [value, trap], {"a": value}):
        text = dump(shape, "    ")
        assert yaml.load(text, Loader=loader) == shape
        assert not re.search(r"[^\n -~]", text)


@pytest.mark.parametrize("number", ["1e5", "1E5", "0o17", "1_0", "0b1", "1:30", "y", "N", "Yes"])
def test_what_some_version_of_yaml_takes_for_another_type_is_quoted(number):
    assert dump({"a": number}) == f'a: "{number}"\n'


def test_a_value_that_occurs_twice_is_written_twice_without_aliases():
    shared = [1, 2]
    assert dump({"a": shared, "b": shared}) == "a: [1, 2]\nb: [1, 2]\n"


def test_deep_values_are_loaded_by_the_python_reader_too():
    deep = []
    for _ in range(5000):
        deep = [deep]
    for text, expected in both(report(Finding("added", "deep", new=deep))):
        assert yaml.load(text, Loader=yaml.SafeLoader) == expected


TEXT = st.text(st.characters(), max_size=15)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(TRAPS) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.integers(), inner, max_size=3),
    max_leaves=5,
)
FINDINGS = st.builds(
    Finding,
    kind=TEXT,
    where=TEXT,
    level=st.sampled_from(["info", "change", "warning", "error"]),
    old=st.just(ABSENT) | VALUES,
    new=st.just(ABSENT) | VALUES,
    values=st.dictionaries(TEXT, VALUES, max_size=2),
    null=VALUES,
    message=TEXT,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(FINDINGS, max_size=3), st.lists(st.builds(NotCompared, TEXT, TEXT), max_size=2))
def test_any_findings_give_the_data_of_the_json_reports(findings, not_compared):
    made = report(*findings, not_compared=tuple(not_compared))
    for text, expected in both(made):
        assert yaml.load(text, Loader=yaml.CSafeLoader) == expected
        assert yaml.load(text, Loader=yaml.SafeLoader) == expected
        assert not re.search(r"[^\n -~]", text)
    assert text == "".join(render_results(made, {}))


def test_many_findings_are_written_in_small_pieces():
    made = report(*(Finding("modified", f"key[{index}]", old=index, new=-index) for index in range(5_000)))
    pieces = list(render_results(made, {}))
    assert len(pieces) == 5_000
    assert max(map(len, [*pieces, *render_document(made, {})])) < 1000
