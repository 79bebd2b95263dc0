"""The document: one object with everything a report says. Its schema is ``docs/reference/report.schema.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import ABSENT
from diffai_report_json.plain import plain
from diffai_report_json.results import is_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from diffai_core.plugin import ArtifactSummary, Finding, NotCompared, Report

SCHEMA = "diffai-report/1"
"""Name and version of the form; the number rises when a reader would have to change."""

STRUCTURE_KINDS = frozenset(
    {
        "tensor_added",
        "tensor_dtype_changed",
        "tensor_prefix_changed",
        "tensor_removed",
        "tensor_renamed",
        "tensor_shape_changed",
    }
)


@dataclass(frozen=True)
class Rows:
    """A list of the document whose rows are made while it is written, so that a long one needs no memory.

    Args:
        items: What the rows are made from.
        make: Makes a row of plain values from an item.
    """

    items: Sequence[Any]
    make: Callable[[Any], Any]

    def __iter__(self) -> Iterator[Any]:
        return map(self.make, self.items)


def document(report: Report) -> dict[str, Any]:
    """Return the document: plain values, except that long lists are :class:`Rows`.

    ``param_diff`` is the parameters of NEW minus those of OLD. ``structure_changes`` are the findings about tensors
    added, removed, renamed, of another shape or of another dtype; ``significant_changes`` all other findings of
    level ``change`` or above with an old or a new value: changed tensors and changed entries of configs.
    """
    param_diff = report.new.n_parameters - report.old.n_parameters
    return {
        "schema": SCHEMA,
        "verdict": {"identity": report.verdict.identity.value, "message": plain(report.verdict.message)},
        "exit_code": report.exit_code,
        "param_diff": param_diff,
        "old": summary(report.old),
        "new": summary(report.new),
        "counts": asdict(report.counts),
        "comparison": {
            "param_diff": param_diff,
            "structure_changes": Rows(_structure_changes(report), finding_record),
            "significant_changes": Rows(_significant_changes(report), finding_record),
        },
        "findings": Rows(report.findings, finding_record),
        "not_compared": Rows(report.not_compared, _not_compared),
        "warnings": plain(report.warnings),
        "settings": plain(report.settings),
    }


def summary(side: ArtifactSummary) -> dict[str, Any]:
    """Return what one side is, as plain values."""
    return {
        "path": plain(side.path),
        "format": plain(side.format),
        "n_tensors": side.n_tensors,
        "n_parameters": side.n_parameters,
        "n_bytes": side.n_bytes,
        "dtypes": plain(side.dtypes),
    }


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return every field of a finding; ``old`` and ``new`` only where there is such a value."""
    record = {
        "kind": finding.kind,
        "where": finding.where,
        "status": finding.status,
        "level": finding.level,
        "old": finding.old,
        "new": finding.new,
        "values": finding.values,
        "null": finding.null,
        "threshold": finding.threshold,
        "threshold_source": finding.threshold_source,
        "coverage": finding.coverage,
        "message": finding.message,
        "detail": finding.detail,
        "plugin": finding.plugin,
    }
    return {name: plain(value) for name, value in record.items() if value is not ABSENT}


def _structure_changes(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind in STRUCTURE_KINDS]


def _significant_changes(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if _significant(finding)]


def _significant(finding: Finding) -> bool:
    if finding.level == "info" or finding.kind in STRUCTURE_KINDS or finding.kind == "tensor_not_compared":
        return False
    return is_record(finding)


def _not_compared(item: NotCompared) -> dict[str, Any]:
    return plain({"where": item.where, "reason": item.reason})
