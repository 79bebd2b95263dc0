"""A report in a notebook is well-formed HTML in which nothing from a file becomes markup."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from diffai_core.findings import Finding, NotCompared
from diffai_core.html import MAX_FINDINGS, report_html
from diffai_core.testing import finding_lists, report

VOID = frozenset({"br", "hr", "img", "meta", "link", "input"})


class Page(HTMLParser):
    """Collects rows and text, and fails on tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.rows, self.text = [], set(), [], ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag not in VOID
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


def page(*findings, **more):
    return Page(report_html(replace(report(findings), **more)))


def test_a_report_shows_itself_in_a_notebook():
    made = report([Finding("modified", "epoch", old=1, new=2)])
    assert made._repr_html_() == report_html(made)


def test_the_verdict_the_sides_and_the_findings_are_there():
    stats = {"mean": 0.123456, "shape": [2, 3]}
    found = page(
        Finding("tensor_stats_changed", "fc", old=stats, new=stats, values={"rel_change": 0.5}, message="grew"),
        Finding("added", "k", new=None),
        Finding("heads", status="not_measurable", level="info", message="needs: head count"),
    )
    assert "different: 3 findings" in found.text
    assert found.rows[1][1:] == ["old.bin", "memory", "2", "12", "float32 (2)", "48"]
    assert found.rows[4:] == [
        [
            "tensor_stats_changed",
            "fc",
            "mean: 0.1235, shape: [2, 3]",
            "mean: 0.1235, shape: [2, 3]",
            "rel_change: 0.5; grew",
        ],
        ["added", "k", "", "None", ""],
        ["heads (not_measurable)", "", "", "", "needs: head count"],
    ]


def test_without_findings_there_is_no_table_of_them():
    assert len(page().rows) == 3


def test_only_the_first_findings_are_shown_and_the_rest_is_counted():
    found = page(*(Finding("modified", f"k{number}", old=1, new=2) for number in range(MAX_FINDINGS + 1_234)))
    assert len(found.rows) == 3 + 1 + MAX_FINDINGS
    assert "… 1,234 more findings" in found.text


def test_what_was_not_compared_is_said():
    found = page(not_compared=tuple(NotCompared(f"w{number}", "unknown <dtype>") for number in range(MAX_FINDINGS + 1)))
    assert found.rows[4] == ["w0", "unknown <dtype>"]
    assert "… 1 more not compared" in found.text


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '"><img src=x>', "&lt;", "</style></div>", "a\x00\x1b[0m\udc80"]
)
def test_nothing_from_a_file_becomes_markup(evil):
    finding = Finding(evil, evil, old=evil, new={evil: evil}, values={evil: [evil]}, message=evil)
    made = replace(report([finding]), not_compared=(NotCompared(evil, evil),))
    made = replace(made, old=replace(made.old, path=evil, format=evil, dtypes={evil: 1}))
    html = report_html(made)
    found = Page(html)
    assert found.tags <= {"div", "style", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert html.isprintable()
    if evil.isprintable():
        assert evil in found.text


def test_long_deep_and_circular_values_stay_short():
    deep = circle = []
    for _ in range(5000):
        deep = [deep]
    circle.append(circle)
    html = report_html(
        report([Finding("modified", "k", old="x" * 10**6, new=[10**9999, deep, circle, {"a": {"b": {"c": {}}}}])])
    )
    assert len(html) < 5_000


@settings(max_examples=60, deadline=None, derandomize=True)
@given(finding_lists())
def test_any_findings_give_the_same_well_formed_page(findings):
    html = report_html(report(findings))
    assert html == report_html(report(findings))
    assert len(Page(html).rows) == 3 + (1 + len(findings) if findings else 0)
