"""What of a report goes where: the outline that the reports for people share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diffai_core.plugin import NotCompared
from diffai_report_text.sections import Section, section_of
from diffai_report_text.view import View

if TYPE_CHECKING:
    from diffai_core.plugin import Finding, Report

_TREE_KINDS = frozenset({"added", "removed", "modified", "type_changed"})


@dataclass
class Outline:
    """The findings of a report by the part that shows them, each in the order of the report.

    Args:
        named: What kind of change it is.
        gates: Conditions that were asked for.
        reports: Results of ``--generate-report``.
        charts: Results of ``--include-charts``.
        errors: What failed.
        remarks: Findings whose message says it all.
        structure: Summaries of the structure.
        tolerances: Which tolerance would pass.
        tensors: Differences of tensors.
        entries: Differences of configs and metadata.
        others: Other differences, of kinds that only their analysis knows.
        flagged: What an analysis found that a person should look at.
        notes: What an analysis found about single tensors or entries, and is no reason to look.
        analyses: Answers of analyses.
        not_measured: Analyses that could not answer; their message names what is missing.
        not_compared: What is in a file and was compared by nothing.
    """

    named: list[Finding] = field(default_factory=list)
    gates: list[Finding] = field(default_factory=list)
    reports: list[Finding] = field(default_factory=list)
    charts: list[Finding] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)
    structure: list[Finding] = field(default_factory=list)
    tolerances: list[Finding] = field(default_factory=list)
    tensors: list[Finding] = field(default_factory=list)
    entries: list[Finding] = field(default_factory=list)
    others: list[Finding] = field(default_factory=list)
    flagged: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    analyses: list[Finding] = field(default_factory=list)
    not_measured: list[Finding] = field(default_factory=list)
    not_compared: list[NotCompared] = field(default_factory=list)


def outline(report: Report, *, full: bool = False) -> Outline:
    """Return the findings of a report by the part that shows them.

    Args:
        report: The report.
        full: Whether differences within the tolerance are listed.
    """
    found = Outline()
    view = View(full=full)
    lists = {
        Section.NAMED: found.named,
        Section.GATES: found.gates,
        Section.ERRORS: found.errors,
        Section.REMARKS: found.remarks,
        Section.STRUCTURE: found.structure,
        Section.TOLERANCE: found.tolerances,
    }
    for finding in report.findings:
        section = section_of(finding, view)
        if section is Section.NOT_COMPARED:
            found.not_compared.append(NotCompared(finding.where, finding.message))
        elif section is not Section.HIDDEN:
            _list_of(finding, section, found, lists).append(finding)
    known = {item.where for item in found.not_compared} | {error.where for error in found.errors}
    found.not_compared += [item for item in report.not_compared if item.where not in known]
    return found


def _list_of(finding: Finding, section: Section, found: Outline, lists: dict[Section, list[Finding]]) -> list[Finding]:
    if section is Section.RECORDS:
        return _records_of(finding, found)
    return _answers_of(finding, found) if section is Section.ANALYSES else lists[section]


def _records_of(finding: Finding, found: Outline) -> list[Finding]:
    if finding.kind.startswith("tensor_"):
        return found.tensors
    return found.entries if finding.kind in _TREE_KINDS else found.others


def _answers_of(finding: Finding, found: Outline) -> list[Finding]:
    known = {"generate_report": found.reports, "include_charts": found.charts}
    if finding.status == "not_measurable" and not finding.where and not finding.values:
        return found.not_measured
    if finding.kind in known:
        return known[finding.kind]
    if finding.level in {"warning", "change"}:
        return found.flagged
    return found.notes if finding.where else found.analyses
