"""What analyses say: the named change on top, gates, further lines, warnings, and long lists as their length."""

from __future__ import annotations

import pytest
from diffai_report_text.names import short_names
from diffai_report_text.nested import nested
from diffai_report_text.numbers import measure
from diffai_report_text.render import render

from diffai_core.plugin import GATE, Finding
from diffai_core.testing import report

ROWS = [{"name": f"w{number}", "sqnr_db": number / 7} for number in range(148)]


def text(*findings, **options):
    return "".join(render(report(findings), {"width": None, "color": False, "full": False} | options))


def lines(*findings, **options):
    """Return the lines below the head."""
    return text(*findings, **options).split("\n\n", 2)[2].splitlines()


def analysis(**more):
    return Finding("acme", **({"level": "info"} | more))


# the named change


def test_the_named_change_is_the_second_line_and_is_not_repeated():
    named = Finding("named_change", level="info", values={"name": "cast"}, message="cast float32 -> bfloat16")
    found = text(analysis(), named).splitlines()
    assert found[:3] == ["different: 2 findings", "change: cast float32 -> bfloat16", ""]
    assert "\n".join(found[2:]).count("cast") == 0


def test_the_evidence_of_the_named_change_stands_below_it():
    named = Finding("named_change", level="info", message="partial fine-tune", detail=("blocks 2-3", "all else equal"))
    assert text(named).splitlines()[1:4] == ["change: partial fine-tune", "  blocks 2-3", "  all else equal"]


# gates


@pytest.mark.parametrize(
    ("passed", "level", "status", "answer"),
    [
        (True, "info", "measured", "passed"),
        (False, "change", "measured", "failed"),
        (None, "warning", "not_measurable", "undecided"),
        (True, "warning", "not_measurable", "undecided"),
    ],
)
def test_a_gate_says_whether_it_passed_and_by_which_rule(passed, level, status, answer):
    values = {"rule": "rel_change<0.1", "passed": passed, "rel_change": 0.712}
    gate = Finding(GATE, level=level, status=status, values=values, message="fc.weight changed by 0.712")
    assert lines(gate) == [f"gate: {answer}: rel_change<0.1, rel_change=0.712", "  fc.weight changed by 0.712"]


def test_a_gate_tells_the_limit_and_where():
    gate = Finding(
        GATE,
        "fc.weight",
        values={"rule": "sqnr", "passed": False},
        threshold=40.0,
        threshold_source="user",
        detail=("a 1", "b 2"),
    )
    assert lines(gate) == ["gate: failed: sqnr, where=fc.weight, threshold: 40 (user)", "  a 1", "  b 2"]


def test_gates_have_colours():
    gate = Finding(GATE, values={"rule": "r", "passed": False})
    assert lines(gate, color=True) == ["\x1b[31mgate: failed: r\x1b[0m"]


# further lines


@pytest.mark.parametrize(
    ("finding", "indent"),
    [
        (analysis(message="why"), 2),
        (Finding("modified", "k", old=1, new=2, message="why"), 6),
        (Finding("plugin_failed", level="error", plugin="acme", message="why"), 2),
        (Finding("foreign_code", "f", level="warning", message="why"), 2),
        (Finding("model_structure", level="info"), 2),
    ],
)
def test_further_lines_stand_below_the_message_as_they_are(finding, indent):
    heat_map = ("      q  k  v", "0     ·  ░  █", "evil\x1b[2J")
    plain = lines(finding)
    found = lines(type(finding)(**{**vars(finding), "detail": heat_map}))
    assert found == [
        *plain,
        *(" " * indent + line for line in ("      q  k  v", "0     ·  ░  █", "evil\\u001b[2J")),
    ]


# warnings


def test_a_warning_is_marked_and_an_answer_is_not():
    warned = Finding("anomaly", "w", level="warning", values={"z": 5.5})
    assert lines(analysis(values={"n": 1}), warned) == [
        "acme: status=measured, n=1",
        "! anomaly: where=w, status=measured, z=5.5",
    ]
    assert lines(Finding("moved", "k", level="warning", old=1, new=2))[0].startswith("  ! k: 1 -> 2")


# long values


def test_a_long_list_is_shown_as_its_length_and_in_full_when_asked_for():
    finding = analysis(values={"worst": "w3", "tensors": ROWS, "by_role": {str(n): n for n in range(7)}})
    assert lines(finding) == ["acme: status=measured, worst=w3, tensors=[148], by_role={7}"]
    assert lines(finding, full=True)[0].count("sqnr_db") == 148
    assert "[148]" not in lines(finding, full=True)[0]


def test_the_null_of_a_long_list_is_as_short():
    finding = analysis(values={"n": 1}, null={"tensors": ROWS, "n": 2.0}, threshold=[1, 2])
    assert lines(finding)[-1] == "  null: tensors=[148], n=2; threshold: [1, 2]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([1, 2.5, None], "[1, 2.5, n/a]"),
        ({"q": 0.12345, "worst layer": [3]}, '{q=0.123, "worst layer"=[3]}'),
        ([{"block": 0, "share": 0.5}] * 2, "[{block=0, share=0.5}, {block=0, share=0.5}]"),
        ([], "[]"),
        ({}, "{}"),
        (list(range(6)), "[0, 1, 2, 3, 4, 5]"),
        (list(range(7)), "[7]"),
        ([[1] * 6] * 6, "[6]"),
        ({3, 1}, "[1, 3]"),
    ],
)
def test_a_small_value_is_written_out(value, shown):
    assert nested(value, measure) == shown


def test_a_value_inside_itself_ends():
    circle = {}
    circle["self"] = circle
    assert nested(circle, measure) == "{1}"


@pytest.mark.parametrize(
    ("paths", "short"),
    [
        (("/m/a/v1.pt", "/m/a/v2.pt"), ("v1.pt", "v2.pt")),
        (("v1/w.bin", "v2/w.bin"), ("v1/w.bin", "v2/w.bin")),
        (("m/a", "m/a"), ("a", "a")),
        (("m/", "m/a"), ("m/", "m/a")),
        (("m\\a", "m\\b"), ("a", "b")),
        (("", "a"), ("", "a")),
    ],
)
def test_a_title_names_the_sides_without_the_folders_they_share(paths, short):
    assert short_names(*paths) == short
