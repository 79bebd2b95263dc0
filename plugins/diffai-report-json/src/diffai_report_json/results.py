"""The bare list of results: one object with one key, the tag, for each finding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import ABSENT
from diffai_report_json.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import Finding, NotCompared, Report

RECORD_KINDS = frozenset(
    {
        "added",
        "modified",
        "removed",
        "tensor_added",
        "tensor_bits_changed",
        "tensor_dtype_changed",
        "tensor_not_compared",
        "tensor_prefix_changed",
        "tensor_removed",
        "tensor_renamed",
        "tensor_shape_changed",
        "tensor_stats_changed",
        "tensor_within_tolerance",
        "type_changed",
    }
)
"""Kinds of findings that say what changed about one tensor or one entry."""

_NAME_KINDS = frozenset({"tensor_renamed", "tensor_prefix_changed"})  # their sides are the names


def results(report: Report) -> Iterator[dict[str, Any]]:
    """Yield ``{tag: payload}`` for each result, in the order of the findings.

    The tag is the kind in CamelCase. A record (something with an old or a new value) is a list of key, old value,
    new value and further values, each where present; an analysis is an object. A change of level ``info`` is none
    (it is within the tolerance, say) and is left out. What was compared by nothing follows as
    ``{"NotCompared": [where, reason]}``, so that only a true "equal" is an empty list.
    """
    told: set[str] = set()
    for finding in report.findings:
        if finding.kind == "tensor_not_compared":
            told.add(finding.where)
        if not is_record(finding):
            yield {tag(finding.kind): _analysis(finding)}
        elif finding.level != "info" or finding.kind not in RECORD_KINDS:
            yield {tag(finding.kind): _record(finding)}
    for item in report.not_compared:
        if item.where not in told:
            yield {"NotCompared": _not_compared(item)}


def is_record(finding: Finding) -> bool:
    """Whether the finding is about one tensor or entry, rather than an analysis."""
    return finding.kind in RECORD_KINDS or finding.old is not ABSENT or finding.new is not ABSENT


def tag(kind: str) -> str:
    """Return ``kind`` in CamelCase.

    Example:
        >>> tag("tensor_stats_changed")
        'TensorStatsChanged'
    """
    return plain("".join(part[:1].upper() + part[1:] for part in re.split(r"[\W_]+", kind))) or "Finding"


def _record(finding: Finding) -> list[Any]:
    sides = [side for side in (finding.old, finding.new) if side is not ABSENT]
    where = [] if finding.kind in _NAME_KINDS else [finding.where]
    more = _joined(finding, _notes(finding))
    record: list[Any] = plain([*where, *sides, *([more] if more else [])])
    return record


def _notes(finding: Finding) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    if finding.status != "measured":
        notes["status"] = finding.status
    if finding.message:
        notes["message"] = finding.message
    if finding.detail:
        notes["detail"] = finding.detail
    return notes


def _analysis(finding: Finding) -> dict[str, Any]:
    envelope = {
        "where": finding.where or None,
        "status": finding.status,
        "level": finding.level if finding.level in {"warning", "error"} else None,
        "plugin": finding.plugin if finding.level == "error" else None,
        "null": finding.null,
        "threshold": finding.threshold,
        "threshold_source": finding.threshold_source or None,
        "coverage": finding.coverage,
        "message": finding.message or None,
        "detail": finding.detail or None,
    }
    analysis: dict[str, Any] = plain(
        _joined(finding, {name: value for name, value in envelope.items() if value is not None})
    )
    return analysis


def _joined(finding: Finding, envelope: dict[str, Any]) -> dict[Any, Any]:
    """Return the values and the envelope; a value that has a name of the envelope gets ``_value`` after it."""
    values = {f"{name}_value" if name in envelope else name: value for name, value in finding.values.items()}
    return values | envelope


def _not_compared(item: NotCompared) -> list[Any]:
    return plain([item.where, item.reason])
