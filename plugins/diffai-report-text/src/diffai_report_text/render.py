"""Puts the report together, block by block."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Identity, NotCompared
from diffai_report_text.analyses import (
    analysis_lines,
    error_lines,
    fold_line,
    gate_lines,
    named_change_lines,
    not_compared_line,
    remark_lines,
    structure_lines,
    tolerance_line,
)
from diffai_report_text.head import head_lines
from diffai_report_text.literals import visible
from diffai_report_text.records import record_lines
from diffai_report_text.sections import NOUNS, Section, section_of
from diffai_report_text.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from diffai_core.plugin import Finding, Report

SHOWN = 20
"""Lines of one kind that a terminal gets; ``full`` gives all, and so does a file or pipe."""


def render(report: Report, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text line by line: the verdict, the two sides, the findings, what was not compared.

    Args:
        report: The report.
        options: ``color``, ``width`` (columns of the terminal, or ``None``), ``verbose`` and ``full``, set by the core.
    """
    view = View.of(options)
    yield f"{visible(str(report.verdict))}\n"
    for finding in report.findings:
        if section_of(finding, view) is Section.NAMED:
            yield from (f"{line}\n" for line in named_change_lines(finding))
    for block in _blocks(report, view):
        for number, line in enumerate(block):
            yield f"{line}\n" if number else f"\n{line}\n"


def _blocks(report: Report, view: View) -> Iterator[Iterable[str]]:
    """Yield groups of lines that stand apart; an empty one leaves no trace."""
    yield head_lines(report, view)
    if _is_same(report):
        yield ["No differences found."]
    shown = [(section, finding) for finding in report.findings if (section := section_of(finding, view)) in _BLOCKS]
    for section, group in groupby(shown, key=lambda item: item[0]):
        yield _BLOCKS[section]([finding for _, finding in group], view)
    yield _not_compared_lines(report, view)
    yield [tolerance_line(finding) for finding in report.findings if section_of(finding, view) is Section.TOLERANCE]


def _is_same(report: Report) -> bool:
    same = report.verdict.identity not in {Identity.DIFFERENT, Identity.INCONCLUSIVE}
    return same and not report.not_compared and all(finding.level == "info" for finding in report.findings)


def _record_block(findings: list[Finding], view: View) -> Iterator[str]:
    for _, group in groupby(findings, key=lambda finding: (finding.plugin, finding.kind.startswith("tensor_"))):
        yield from _folded(group, record_lines, view)


def _analysis_block(findings: list[Finding], view: View) -> Iterator[str]:
    yield from _folded(findings, analysis_lines, view)


def _structure_block(findings: list[Finding], view: View) -> Iterator[str]:
    for finding in findings:
        yield from structure_lines(finding, view)


def _error_block(findings: list[Finding], view: View) -> Iterator[str]:
    for finding in findings:
        yield from error_lines(finding, view)


def _remark_block(findings: list[Finding], view: View) -> Iterator[str]:
    yield from _folded(findings, remark_lines, view)


def _gate_block(findings: list[Finding], view: View) -> Iterator[str]:
    for finding in findings:
        yield from gate_lines(finding, view)


_BLOCKS: Mapping[Section, Callable[[list[Finding], View], Iterable[str]]] = {
    Section.RECORDS: _record_block,
    Section.ANALYSES: _analysis_block,
    Section.REMARKS: _remark_block,
    Section.GATES: _gate_block,
    Section.STRUCTURE: _structure_block,
    Section.ERRORS: _error_block,
}


def _folded(findings: Iterable[Finding], lines_of: Callable[[Finding, View], list[str]], view: View) -> Iterator[str]:
    """Yield the lines of the findings; on a terminal the first of each kind, then how many more there are."""
    seen: dict[str, int] = {}
    for finding in findings:
        seen[finding.kind] = seen.get(finding.kind, 0) + 1
        if view.full or view.width is None or seen[finding.kind] <= SHOWN:
            yield from lines_of(finding, view)
    if view.full or view.width is None:
        return
    for kind, count in seen.items():
        flag = "--tensor-details" if kind.startswith("tensor_") else "--verbose"
        yield from fold_line(max(count - SHOWN, 0), NOUNS.get(kind, f"of {visible(kind)}"), flag)


def _not_compared_lines(report: Report, view: View) -> Iterator[str]:
    told = [
        NotCompared(finding.where, finding.message)
        for finding in report.findings
        if section_of(finding, view) is Section.NOT_COMPARED
    ]
    known = {item.where for item in told} | {finding.where for finding in report.findings if finding.level == "error"}
    items = [*told, *(item for item in report.not_compared if item.where not in known)]
    shown = items if view.full or view.width is None else items[:SHOWN]
    for item in shown:
        yield not_compared_line(item)
    yield from fold_line(len(items) - len(shown), "not compared", "--verbose")
