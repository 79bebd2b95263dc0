"""Puts the report together, section by section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_report_text.analyses import gate_answer
from diffai_report_text.names import short_names
from diffai_report_text.numbers import counted, size
from diffai_report_text.outline import Outline, outline

from diffai_report_markdown.analyses import analysis, flagged, limit, values_of
from diffai_report_markdown.changes import entry_changes, other_changes, tensor_changes, tolerance
from diffai_report_markdown.charts import charts
from diffai_report_markdown.conclusions import written_report
from diffai_report_markdown.marks import code, fenced, heading, paragraph, prose, table
from diffai_report_markdown.view import MOST_CHANGES, MOST_ROWS, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import ArtifactSummary, Finding, Report

_ANSWERS = {"passed": "✅ passed", "failed": "❌ failed", "undecided": "⚠️ undecided"}


def render(report: Report, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the document: the answer first, then changes, analyses and charts, and what was not measured.

    Args:
        report: The report.
        options: ``full`` or ``verbose``, set by the core: whether long lists are written in full.
    """
    view = View.of(options)
    parts = outline(report, full=view.full)
    yield from _head(report, parts)
    for finding in parts.reports:
        yield from written_report(finding, view)
    yield from _gates(parts)
    yield from _changes(parts, view)
    yield from flagged("Look at", parts.flagged, view, MOST_CHANGES)
    if parts.analyses:
        yield heading(2, "Analyses")
    for finding in parts.analyses:
        yield from analysis(finding, view)
    yield from flagged("Noted", parts.notes, view, MOST_ROWS)
    yield from charts(parts.charts, view)
    yield from _not_measured(parts, view)
    yield from _remarks(report, parts)


def _head(report: Report, parts: Outline) -> Iterator[str]:
    old, new = short_names(report.old.path, report.new.path)
    yield heading(1, f"{code(old)} → {code(new)}")
    message = f": {prose(report.verdict.message)}" if report.verdict.message else ""
    yield paragraph(f"**{prose(report.verdict.identity.value)}**{message}")
    for finding in parts.named:
        yield paragraph(f"**Change:** {prose(finding.message)}")
        yield from details(finding)
    yield from _sides(report)


def _sides(report: Report) -> Iterator[str]:
    has_tensors = bool(report.old.n_tensors or report.new.n_tensors)
    columns = ["", "path", "format", *(("tensors", "parameters", "dtypes", "size") if has_tensors else ())]
    rows = (_side(name, side, has_tensors) for name, side in (("OLD", report.old), ("NEW", report.new)))
    yield from table(columns, rows, numbers=(3, 4, 6))


def _side(name: str, side: ArtifactSummary, has_tensors: bool) -> list[str]:
    cells = [name, code(side.path), prose(side.format)]
    if has_tensors:
        dtypes = ", ".join(f"{prose(dtype)} ({count:,})" for dtype, count in side.dtypes.items())
        cells += [f"{side.n_tensors:,}", f"{side.n_parameters:,}", dtypes, size(side.n_bytes)]
    return cells


def _gates(parts: Outline) -> Iterator[str]:
    if not parts.gates:
        return
    yield heading(2, "Gates")
    yield from table(["answer", "rule", "measured", "why"], map(_gate, parts.gates))
    for finding in parts.gates:
        yield from details(finding)


def _gate(finding: Finding) -> list[str]:
    rule = str(finding.values.get("rule") or finding.where)
    measured = {name: value for name, value in finding.values.items() if name not in {"rule", "passed"}}
    said = "; ".join(part for part in (values_of(measured), limit(finding)) if part)
    return [_ANSWERS[gate_answer(finding)], code(rule), said, prose(finding.message)]


def _changes(parts: Outline, view: View) -> Iterator[str]:
    if not any((parts.tensors, parts.entries, parts.others, parts.structure)):
        return
    yield heading(2, "Changes")
    yield from tensor_changes(parts.tensors, view)
    yield from entry_changes(parts.entries, view)
    yield from other_changes(parts.others, view)
    for finding in parts.structure:
        yield from analysis(finding, view)
    for finding in parts.tolerances:
        yield paragraph(tolerance(finding))


def _not_measured(parts: Outline, view: View) -> Iterator[str]:
    """Yield what was not measured or not compared, and why: never a pass."""
    if not parts.not_measured and not parts.not_compared:
        return
    n_all = len(parts.not_measured) + len(parts.not_compared)
    yield heading(2, "Not measured")
    rows = [
        *([prose(finding.kind.replace("_", " ")), prose(finding.message)] for finding in parts.not_measured),
        *([code(item.where) if item.where else "", prose(item.reason)] for item in view.some(parts.not_compared)),
    ]
    yield from table(["what", "why"], rows)
    yield paragraph(view.more(n_all - len(rows), "not compared"))
    for finding in parts.not_measured:
        yield from details(finding)


def _remarks(report: Report, parts: Outline) -> Iterator[str]:
    if parts.errors or parts.remarks or report.warnings:
        yield heading(2, "Remarks")
    said = [
        *((f"**{prose(finding.plugin or finding.where or 'error')}**: ", finding) for finding in parts.errors),
        *((("**warning**: " if finding.level != "info" else ""), finding) for finding in parts.remarks),
    ]
    for lead, finding in said:
        yield paragraph(f"{lead}{prose(finding.message or finding.kind)}")
        yield from details(finding)
    for line in report.warnings:
        yield paragraph(prose(line))
    tensors = counted(report.counts.not_compared, "tensor")
    if report.counts.not_compared:
        yield paragraph(f"{tensors} not compared.")


def details(finding: Finding) -> Iterator[str]:
    """Yield the further lines of a finding as they are."""
    if finding.detail:
        yield from fenced(finding.detail)
