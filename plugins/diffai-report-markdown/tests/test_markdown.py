"""The Markdown report read back by a CommonMark parser: what it says, and that no name or value becomes markup."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diffai_report_markdown.marks import code, fenced, prose, table
from diffai_report_markdown.render import render
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from diffai_core.plugin import GATE, ArtifactSummary, Counts, Finding, Identity, NotCompared, Report, Verdict
from diffai_core.testing import report

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
PRINTABLE = st.text(st.characters(codec="utf-8").filter(str.isprintable), min_size=1, max_size=12)
SYNTAX = st.text(st.sampled_from("`|\\*_[]()<>&#-+.1~$! a"), min_size=1, max_size=12)
EVIL = [
    "a|b",
    "`",
    "``",
    "a`b|c",
    "\\|",
    "<script>alert(1)</script>",
    "![x](http://h/x)",
    "# h",
    "&lt;",
    "a_b_c",
    "1. x",
]


def tree(text):
    return SyntaxTreeNode(PARSER.parse(text))


def written(*findings, full=False, **more):
    return "".join(render(replace(report(findings), **more), {"full": full}))


def plain(node):
    """Return the text that a reader sees."""
    if node.type in {"text", "code_inline", "fence"}:
        return node.content
    return "".join(map(plain, node.children))


def tables(text):
    """Return each table as rows of what a reader sees in the cells."""
    return [
        [[plain(cell) for cell in row.children] for part in node.children for row in part.children]
        for node in tree(text).walk()
        if node.type == "table"
    ]


def headings(text):
    return [plain(node) for node in tree(text).walk() if node.type == "heading"]


def paragraphs(text):
    return [plain(node) for node in tree(text).walk() if node.type == "paragraph"]


# pieces


@settings(max_examples=300, deadline=None, derandomize=True)
@given(PRINTABLE | SYNTAX)
def test_a_code_span_shows_exactly_the_name_also_in_a_table(name):
    wanted = name if name.strip(" ") else f'"{name}"'
    (paragraph,) = tree(f"x {code(name)} y").children
    spans = [node.content for node in paragraph.children[0].children if node.type == "code_inline"]
    assert spans == [wanted]
    (rows,) = tables("".join(table(["name", "n"], [[code(name), "1"]])))
    assert rows == [["name", "n"], [wanted, "1"]]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(PRINTABLE | SYNTAX)
def test_a_sentence_is_read_as_it_was_written_also_in_a_table(sentence):
    shown = sentence.strip()
    (rows,) = tables("".join(table(["what", "n"], [[prose(sentence), "1"]])))
    assert rows[1] == [shown, "1"]
    if shown:
        (paragraph,) = tree(prose(sentence)).children
        assert paragraph.type == "paragraph"
        assert plain(paragraph) == shown


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(SYNTAX, max_size=4))
def test_no_line_ends_a_fenced_block(lines):
    (fence,) = tree("".join(fenced(lines))).children
    assert fence.type == "fence"
    assert fence.content.splitlines() == [line.rstrip() for line in lines]


@pytest.mark.parametrize("live", ["@torvalds", "closes #12", "see https://h/x", "www.example.org", "a@b.org"])
def test_what_a_site_makes_live_stands_in_code(live):
    word = live.split()[-1]
    spans = [node.content for node in tree(prose(f"x {live}")).walk() if node.type == "code_inline"]
    assert spans == [word]


# the document


def test_the_answer_and_the_named_change_come_first():
    named = Finding("named_change", level="info", message="cast to bfloat16", detail=("fc  ░", "``` ▓"))
    nodes = tree(written(Finding("modified", "lr", old=1, new=2), named)).children
    assert [node.type for node in nodes[:5]] == ["heading", "paragraph", "paragraph", "fence", "table"]
    assert [plain(node) for node in nodes[:3]] == [
        "old.bin → new.bin",
        "different: 2 findings",
        "Change: cast to bfloat16",
    ]
    assert nodes[3].content == "fc  ░\n``` ▓\n"


def test_the_sides_are_a_table():
    assert tables(written())[0] == [
        ["", "path", "format", "tensors", "parameters", "dtypes", "size"],
        ["OLD", "old.bin", "memory", "2", "12", "float32 (2)", "48 bytes"],
        ["NEW", "new.bin", "memory", "2", "12", "float32 (2)", "48 bytes"],
    ]


def test_configs_have_no_columns_for_tensors():
    config = ArtifactSummary("a.json", "json", 0, 0, 0, {})
    made = Report(Verdict(Identity.DIFFERENT, ""), 1, config, config, Counts(), ())
    assert tables("".join(render(made, {})))[0][0] == ["", "path", "format"]


def test_a_changed_tensor_is_a_row_of_its_measures():
    values = {"rel_change": 0.7123, "max_abs_diff": 0.09, "max_abs_diff_index": [1, 203], "one_minus_cos": None}
    sides = {"old": {"mean": 0.5, "std": 1.0}, "new": {"mean": 0.25, "std": 2.0}}
    finding = Finding("tensor_stats_changed", "fc|1", **sides, values=values | {"changed_share": 0.5})
    assert tables(written(finding))[1][1] == ["fc|1", "changed", "0.712", "0.09 at [1, 203]", "n/a", "50%"]
    assert tables(written(finding, full=True))[1][1][-2:] == ["0.5 → 0.25", "1 → 2"]


@pytest.mark.parametrize(
    ("finding", "row"),
    [
        (Finding("added", "k", new=[1, None]), ["+", "k", "", "[1, null]"]),
        (Finding("removed", "k", old="a|b"), ["-", "k", '"a|b"', ""]),
        (Finding("modified", "k", old=1, new=2.5), ["~", "k", "1", "2.5"]),
        (Finding("type_changed", "k", old=1, new="1"), ["!", "k", "1", '"1"']),
    ],
)
def test_an_entry_is_a_row_of_both_values(finding, row):
    assert tables(written(finding))[1][1] == row


@pytest.mark.parametrize(
    ("finding", "what"),
    [
        (Finding("tensor_renamed", "m.w", old="w", new="m.w"), "renamed from w"),
        (Finding("tensor_shape_changed", "w", old=[1], new=[2]), "shape changed: [1] → [2]"),
        (Finding("tensor_dtype_changed", "w", old="float32", new="int8"), "dtype changed: float32 → int8"),
        (Finding("tensor_added", "w", new={"shape": [2], "params": 2}), "added: shape [2], params 2"),
    ],
)
def test_other_changes_of_tensors_are_said_in_words(finding, what):
    assert tables(written(finding))[1][1][1] == what


def test_an_analysis_shows_each_value_beside_its_null_and_its_limit():
    finding = Finding(
        "quantization_analysis",
        status="estimated",
        level="info",
        values={"sqnr_db": 40.25, "worst": "lm_head", "layers": [{"name": "a|b", "db": 1.5}, {"name": "c", "n": None}]},
        null={"sqnr_db": 42.125, "of": 3},
        threshold=0.01,
        threshold_source="user",
        coverage=0.5,
        message="three are above",
        detail=("a 1",),
    )
    text = written(finding)
    assert headings(text)[-1] == "Quantization analysis"
    assert tables(text)[1:] == [
        [["value", "measured", "null"], ["sqnr_db", "40.2", "42.1"], ["worst", "lm_head", ""]],
        [["name", "db", "n"], ["a|b", "1.5", ""], ["c", "", "n/a"]],
    ]
    assert "Status: estimated; coverage 0.5; threshold 0.01 (user)." in paragraphs(text)
    assert "Null: of 3" in paragraphs(text)


def test_gates_are_a_table_of_answers():
    values = {"rule": "rel_change<0.1", "passed": False, "rel_change": 0.71}
    gates = [
        Finding(GATE, values=values, message="too much"),
        Finding(GATE, level="warning", status="not_measurable", values={"rule": "loss", "passed": None}, message="no"),
    ]
    (_, rows) = tables(written(*gates))
    assert rows[1:] == [
        ["❌ failed", "rel_change<0.1", "rel_change 0.71", "too much"],
        ["⚠️ undecided", "loss", "", "no"],
    ]


def test_what_was_not_measured_or_compared_is_told_with_the_reason():
    finding = Finding("attention_analysis", status="not_measurable", level="info", message="needs: head count")
    text = written(finding, not_compared=(NotCompared("graph", "nothing reads it"),))
    assert headings(text)[-1] == "Not measured"
    assert tables(text)[1][1:] == [["attention analysis", "needs: head count"], ["graph", "nothing reads it"]]


def test_failures_warnings_and_remarks_are_told():
    failed = Finding("plugin_failed", level="error", plugin="acme", message="failed while comparing")
    foreign = Finding("foreign_code", "f", level="warning", message="f wants os.system")
    assert paragraphs(written(failed, foreign, warnings=("two plugins clash",)))[-3:] == [
        "acme: failed while comparing",
        "warning: f wants os.system",
        "two plugins clash",
    ]


def test_long_tables_are_cut_with_the_count_and_whole_when_asked_for():
    many = [Finding("modified", f"k{number}", old=1, new=2) for number in range(300)]
    assert len(tables(written(*many))[1]) == 201
    assert "… 100 more entries (--verbose writes all)" in paragraphs(written(*many))
    assert len(tables(written(*many, full=True))[1]) == 301


def test_a_written_report_has_conclusions_findings_and_limits():
    values = {
        "title": "Partial fine-tune",
        "findings": [
            {
                "text": "27 of 53 tensors changed",
                "evidence": {"kind": "tensors", "where": "a|b", "numbers": {"share": 0.5}, "status": "measured"},
            }
        ],
        "conclusions": [{"text": "Only the top changed.", "because": ["named_change"]}],
        "limits": [{"what": "attention_analysis", "why": "needs: head count"}],
    }
    text = written(Finding("generate_report", level="info", values=values))
    assert headings(text)[1:] == ["Partial fine-tune", "Conclusions", "Findings", "Limits"]
    assert tables(text)[1][1] == ["27 of 53 tensors changed", "tensors: share 0.5", "a|b", "measured"]
    assert [plain(node) for node in tree(text).walk() if node.type == "list_item"] == [
        "Only the top changed. (named_change)",
        "attention_analysis: needs: head count",
    ]


def test_charts_are_their_data_with_bars_or_shades():
    heat_map = {
        "type": "heat_map",
        "title": "change | by block",
        "columns": ["block", "q", "mlp"],
        "rows": [["0", -4.0, "="], ["1", -1.0, -2.5]],
    }
    bars = {
        "type": "bar",
        "title": "energy",
        "unit": "share",
        "columns": ["w", "share"],
        "rows": [["a", 0.5], ["b", 1]],
    }
    bins = {"type": "histogram", "title": "w", "columns": ["from", "to", "OLD", "NEW"], "rows": [[0, 1, 0.5, 0.25]]}
    text = written(Finding("include_charts", level="info", values={"charts": [heat_map, bars, bins]}))
    assert headings(text)[1:] == ["Charts", "change | by block", "energy", "w"]
    assert tables(text)[3][1:] == [["0", "1", "0.5", "0.25", "█" * 16, "█" * 8]]
    assert tables(text)[1][1:] == [["0", "░ -4", "="], ["1", "█ -1", "▒ -2.5"]]
    assert tables(text)[2][1:] == [["a", "0.5", "█" * 8], ["b", "1", "█" * 16]]


@pytest.mark.parametrize("evil", EVIL)
def test_no_name_value_or_message_becomes_markup(evil):
    everywhere = [
        Finding("tensor_stats_changed", evil, values={"rel_change": 1.0}, message=evil),
        Finding("tensor_renamed", evil, old=evil, new=evil),
        Finding("modified", evil, old=evil, new=[{evil: evil}]),
        Finding("node_moved", evil, old=evil, new=evil, values={evil: evil}),
        Finding(evil, values={evil: evil, "rows": [{evil: evil}]}, null={evil: evil}, threshold=evil, message=evil),
        Finding("anomaly", evil, level="warning", values={evil: evil}, message=evil, detail=(evil,)),
        Finding("named_change", level="info", message=evil),
        Finding(GATE, evil, values={"rule": evil, "passed": True}, message=evil),
        Finding("acme", status="not_measurable", level="info", message=evil),
    ]
    text = written(*everywhere, old=ArtifactSummary(evil, evil, 1, 1, 1, {evil: 1}))
    found = {node.type for node in tree(text).walk()}
    assert found <= {
        *("root", "heading", "paragraph", "inline", "text", "strong", "code_inline", "fence"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert plain(tree(text).children[0]).startswith(evil)


def test_what_wants_a_look_is_apart_from_what_is_only_noted():
    loud = Finding("anomaly", "w", level="warning", values={"z": 9.5}, message="far out")
    quiet = [Finding("anomaly", f"v{number}", level="info", message="frozen") for number in range(30)]
    text = written(*quiet, loud)
    assert headings(text)[1:] == ["Look at", "Noted"]
    assert tables(text)[1][1:] == [["⚠️", "anomaly", "w", "z 9.5", "far out"]]
    assert len(tables(text)[2]) == 21
    assert paragraphs(text)[-1] == "… 10 more findings (--verbose writes all)"
