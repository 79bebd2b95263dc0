"""What a terminal gets: colours, short lines and folded lists; and nothing raw, whatever a name or value holds."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from diffai_report_text.render import render
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import ABSENT, ArtifactSummary, Finding, Identity, NotCompared, Verdict
from diffai_core.testing import report

MEASURES = {
    "rel_change": 0.7123,
    "max_abs_diff": 0.09302,
    "max_abs_diff_index": [1, 203],
    "one_minus_cos": 4.81e-6,
    "n_changed": 639,
    "changed_share": 639 / 640,
}
SGR = re.compile(r"\x1b\[[0-9]*m")


def side(path="base.safetensors", **more):
    fields = {"n_tensors": 148, "n_parameters": 22_713_216, "n_bytes": 90_852_864, "dtypes": {"float32": 148}}
    return ArtifactSummary(path, "safetensors", **(fields | more))


def text(*findings, message="2 of 148 tensors changed", not_compared=(), new=None, **options):
    verdict = Verdict(Identity.DIFFERENT, message)
    made = replace(
        report(findings), verdict=verdict, old=side(), new=new or side("b.safetensors"), not_compared=not_compared
    )
    return "".join(render(made, {"width": None, "color": False, "full": False, "verbose": False} | options))


def lines(*findings, **more):
    """Return the lines below the head."""
    return text(*findings, **more).split("\n\n", 2)[2].splitlines()


def stats(where="fc1.weight"):
    old, new = {"mean": -0.00017, "std": 0.05142}, {"mean": -0.00012, "std": 0.07164}
    return Finding("tensor_stats_changed", where, old=old, new=new, values=MEASURES)


# terminals


def test_a_terminal_gets_twenty_lines_of_a_kind_and_a_count():
    many = [stats(f"w{number}") for number in range(30)]
    found = lines(*many, Finding("added", "k", new=1), width=200)
    assert len(found) == 22
    assert found[-2:] == ["    … 10 more changed tensors (--tensor-details shows all)", "  + k: 1"]


@pytest.mark.parametrize("options", [{}, {"width": 200, "full": True}, {"width": 200, "verbose": True}])
def test_a_pipe_and_full_output_get_every_line(options):
    many = [Finding("modified", f"k{number}", old=1, new=2) for number in range(100)]
    assert len(lines(*many, **options)) == 100


@pytest.mark.parametrize("width", [80, 100, 120])
def test_on_a_terminal_names_are_shortened_and_numbers_are_whole(width):
    name = "encoder.layer.10." + "attention." * 20 + "weight"
    found = lines(stats(name), Finding("modified", "text", old="a" * 500, new="b" * 500), width=width)
    assert max(map(len, found)) <= width
    assert found[0].startswith("  ~ encoder.la")
    together = " ".join(line.strip() for line in found)
    for field in lines(stats(name))[0].split(": ", 1)[1].split(", std"):
        assert field.removeprefix("=") in together
    assert "…" in found[0]


def test_a_pipe_gets_names_and_values_whole():
    name = "n" * 500
    assert lines(Finding("added", name, new="v" * 500)) == [f'  + {name}: "{"v" * 500}"']


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_head_fits_the_terminal(width):
    new = side("folder/" * 30 + "b.safetensors", dtypes={"float32": 100, "bfloat16": 48})
    head = text(new=new, width=width).split("\n\n")[1].splitlines()
    assert max(map(len, head)) <= max(width, 76)
    assert all("22,713,216 params" in line for line in head if " tensors  " in line)


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        (Finding("added", "k", new=1), 32),
        (Finding("removed", "k", old=1), 31),
        (Finding("modified", "k", old=1, new=2), 36),
        (stats(), 36),
        (Finding("type_changed", "k", old=1, new="1"), 35),
        (Finding("tensor_shape_changed", "k", old=[1], new=[2]), 35),
    ],
)
def test_colours_follow_the_kind_and_only_when_asked(finding, code):
    assert "\x1b" not in text(finding)
    (line,) = lines(finding, color=True)
    assert line == f"\x1b[{code}m{lines(finding)[0]}\x1b[0m"


# nothing raw


@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "a\nb", "\x9b31m", "\u202etxt", "\udc80", "\u2028", "\x00", "a\rb", "\u200b"]
)
def test_no_raw_control_reaches_the_terminal(evil):
    everywhere = [
        stats(evil),
        Finding("modified", evil, old=evil, new=[{evil: evil}]),
        Finding("tensor_renamed", evil, old=evil, new=evil, message=evil),
        Finding("tensor_added", evil, new={"shape": evil, "dtype": evil, evil: evil}),
        Finding("tensor_dtype_changed", evil, old=evil, new=evil),
        Finding(
            evil,
            evil,
            values={evil: evil},
            null=evil,
            threshold=evil,
            threshold_source=evil,
            message=evil,
            detail=(evil,),
        ),
        Finding("named_change", message=evil, detail=(evil,)),
        Finding("gate", evil, values={"rule": evil, evil: evil}, message=evil, detail=(evil,)),
        Finding("plugin_failed", level="error", plugin=evil, message=evil),
        Finding("tolerance_to_pass", level="info", values={"atol": 1.0, "tensor": evil}),
    ]
    found = text(
        *everywhere, message=evil, not_compared=(NotCompared(evil, evil),), new=side(evil, dtypes={evil: 1, "a": 2})
    )
    assert all(line.isprintable() for line in found.split("\n"))
    found.encode("utf-8")


def test_two_names_never_look_alike():
    names = ["a\nb", "a\\nb", '"a\\nb"', "", '""']
    shown = [line.rpartition(": 1")[0] for line in lines(*(Finding("added", name, new=1) for name in names))]
    assert len(set(shown)) == len(names)


def test_deep_and_circular_values_end():
    deep = []
    for _ in range(5000):
        deep = [deep]
    circle = [1]
    circle.append(circle)
    found = lines(Finding("added", "deep", new=deep), Finding("added", "circle", new=circle))
    assert found[0].endswith("<…>" + "]" * 100)
    assert found[1] == "  + circle: [1, <…>]"


# laws

TEXT = st.text(st.characters(), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=20) | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
KNOWN_VALUES = st.sampled_from([*MEASURES, "reshape_only", "values_equal", "atol", "rtol", "tensor", "parameters_old"])
FINDINGS = st.builds(
    Finding,
    kind=TEXT
    | st.sampled_from(["added", "removed", "modified", "type_changed", "tensor_added", "tensor_removed"])
    | st.sampled_from(["tensor_renamed", "tensor_shape_changed", "tensor_dtype_changed", "tensor_stats_changed"])
    | st.sampled_from(
        [
            "gate",
            "named_change",
            "tensor_not_compared",
            "model_structure",
            "tolerance_to_pass",
            "tensor_within_tolerance",
        ]
    ),
    where=TEXT,
    level=st.sampled_from(["info", "change", "warning", "error"]),
    old=st.just(ABSENT) | VALUES | st.dictionaries(st.sampled_from(["mean", "std", "dtype"]), VALUES),
    new=st.just(ABSENT) | VALUES | st.dictionaries(st.sampled_from(["mean", "std", "shape"]), VALUES),
    values=st.dictionaries(TEXT | KNOWN_VALUES, VALUES, max_size=4),
    null=VALUES,
    threshold=VALUES,
    coverage=st.none() | st.floats(),
    message=TEXT,
    detail=st.lists(TEXT.filter(str.strip), max_size=2).map(tuple),
    plugin=TEXT,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(FINDINGS, max_size=4), st.none() | st.integers(1, 200), st.booleans())
def test_any_findings_give_printable_deterministic_text_with_or_without_colour(findings, width, full):
    plain = text(*findings, width=width, full=full)
    colored = text(*findings, width=width, full=full, color=True)
    assert all(line.isprintable() for line in plain.split("\n"))
    assert plain == SGR.sub("", colored) == text(*findings, width=width, full=full)
    assert plain.startswith("different: 2 of 148 tensors changed\n")
    assert plain.endswith("\n")
    assert "\n\n\n" not in plain


def test_a_hundred_thousand_findings_are_a_hundred_thousand_lines():
    made = report([Finding("modified", f"key[{number}]", old=number, new=-number) for number in range(100_000)])
    pieces = list(render(made, {}))
    assert len(pieces) == 3 + 100_000  # the verdict and the two sides
    assert all(piece.count("\n") <= 2 for piece in pieces)
