"""What of a report is a test, and how it came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from diffai_report_text.analyses import analysis_lines, gate_answer, gate_lines, remark_lines
from diffai_report_text.literals import visible
from diffai_report_text.outline import Outline, outline
from diffai_report_text.records import record_lines
from diffai_report_text.view import View

from diffai_core.plugin import GATE, Identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import Finding, Report

Outcome = Literal["passed", "failure", "error", "skipped"]

_VIEW = View()
_DIFFERENT, _TROUBLE = 1, 2
_MOST_CHANGES = 100
_GATED = "the gates decide; that the artefacts differ is no failure"


@dataclass(frozen=True)
class Case:
    """One test case.

    Args:
        name: What is tested.
        outcome: How it came out.
        message: Why, in one line; empty if it passed.
        type: Kind of the failure.
        body: Further lines: of a failure its evidence, else what was measured.
    """

    name: str
    outcome: Outcome = "passed"
    message: str = ""
    type: str = ""
    body: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """The cases of one analysis."""

    name: str
    cases: tuple[Case, ...]

    def count(self, outcome: Outcome) -> int:
        """Return how many cases came out so."""
        return sum(case.outcome == outcome for case in self.cases)


def suites(report: Report) -> list[Suite]:
    """Return the verdict with all trouble, then the gates and answers of every analysis.

    A case fails where the exit code is 1 (the artefacts differ or, if gates were asked for, one failed), is an error
    where it is 2, and is skipped for what could not be decided or compared.
    """
    parts = outline(report)
    return [Suite("diffai", (_verdict(report, parts), *_troubles(parts))), *_analyses(report, parts)]


def _verdict(report: Report, parts: Outline) -> Case:
    message = str(report.verdict)
    said = (*(f"change: {visible(finding.message)}" for finding in parts.named), *_changes(parts))
    if report.exit_code == _TROUBLE and not parts.errors:
        return Case("verdict", "error", message, "trouble", said)
    if report.exit_code == _DIFFERENT and not parts.gates:
        return Case("verdict", "failure", message, "different", said)
    if report.verdict.identity is Identity.INCONCLUSIVE:
        return Case("verdict", "skipped", message, "inconclusive", said)
    note = (_GATED,) if parts.gates and report.verdict.identity is Identity.DIFFERENT else ()
    return Case("verdict", body=(visible(message), *note, *said))


def _changes(parts: Outline) -> Iterator[str]:
    changes = [*parts.tensors, *parts.entries, *parts.others]
    for finding in changes[:_MOST_CHANGES]:
        yield from record_lines(finding, _VIEW)
    if len(changes) > _MOST_CHANGES:
        yield f"  … {len(changes) - _MOST_CHANGES:,} more differences (--format json has all)"


def _troubles(parts: Outline) -> Iterator[Case]:
    """Yield what failed, what wants foreign code, and what was compared by nothing: never a pass."""
    for finding in parts.errors:
        detail = tuple(map(visible, finding.detail))
        yield Case(_name(finding, finding.plugin), "error", finding.message or finding.kind, finding.kind, detail)
    for finding in parts.remarks:
        yield Case(_name(finding), body=tuple(remark_lines(finding, _VIEW)))
    for item in parts.not_compared:
        yield Case(f"compare {item.where}".rstrip(), "skipped", item.reason, "not_compared")


def _name(finding: Finding, plugin: str = "") -> str:
    return " ".join(part for part in (finding.kind.replace("_", " "), plugin, finding.where) if part)


def _analyses(report: Report, parts: Outline) -> Iterator[Suite]:
    """Yield a suite for each analysis that has a gate or an answer, in the order of the report."""
    told = (*parts.gates, *parts.structure, *parts.analyses, *parts.not_measured, *parts.flagged)
    wanted = {id(finding) for finding in (*told, *parts.notes, *parts.reports, *parts.charts)}
    by_plugin: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if id(finding) in wanted:
            by_plugin.setdefault(finding.plugin or finding.kind, []).append(finding)
    for plugin, findings in by_plugin.items():
        yield Suite(plugin, tuple(map(_case, findings)))


def _case(finding: Finding) -> Case:
    if finding.kind == GATE:
        return _gate(finding)
    body = tuple(analysis_lines(finding, _VIEW))
    if finding.status == "not_measurable":
        return Case(_name(finding), "skipped", finding.message, "not_measurable", body)
    return Case(_name(finding), body=body)


def _gate(finding: Finding) -> Case:
    rule = str(finding.values.get("rule") or finding.where)
    name = f"gate {rule} {finding.where}".rstrip() if finding.where != rule else f"gate {rule}"
    body, answer = tuple(gate_lines(finding, _VIEW)), gate_answer(finding)
    if answer == "passed":
        return Case(name, body=body)
    outcome: Outcome = "failure" if answer == "failed" else "skipped"
    return Case(name, outcome, finding.message or f"{answer}: {rule}", f"gate_{answer}", body)
