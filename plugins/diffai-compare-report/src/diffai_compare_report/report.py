"""The written report: title, findings with evidence, conclusions, and what was not measured."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

from diffai_compare_report.conclusions import Conclusion, conclusions
from diffai_compare_report.evidence import Evidence, evidence
from diffai_compare_report.survey import Survey
from diffai_compare_report.weigh import change_of, is_unchanged, numel, share
from diffai_core.plugin import Finding, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison

_COLUMNS = 78
_MOST_LIMITS = 50
_MOST_SHOWN = 12
_MOST_NAMED = 3
_HEAD = re.compile(r" \(|; | - ")


def report(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: ARG001 - a comparator's signature
    """Yield one finding that sums up what all other analyses found."""
    survey = Survey(comparison)
    found, follows, limits = evidence(survey), conclusions(survey), _limits(survey)
    yield Finding(
        "generate_report",
        level="info",
        values={
            "title": _title(survey),
            "n_findings": len(found),
            "n_conclusions": len(follows),
            "n_limits": len(limits),
            "findings": [item.record() for item in found],
            "conclusions": [item.record() for item in follows],
            "limits": limits[:_MOST_LIMITS],
        },
        coverage=_coverage(survey),
        message=f"{_counted(len(found), 'finding')}, {_counted(len(follows), 'conclusion')}, "
        f"{_counted(len(limits), 'limit')}",
        detail=tuple(_lines(found, follows)),
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _title(survey: Survey) -> str:
    """Return what happened in one line; it names no file."""
    named = next((finding for finding in survey.findings if finding.kind == "named_change"), None)
    if named is not None and named.message:
        return f"Change report: {_HEAD.split(named.message)[0]}"
    if survey.n_changed:
        return f"Change report: {survey.n_changed:,} of {survey.n_tensors:,} parameter tensors changed"
    n_loud = sum(finding.level != "info" for finding in survey.findings)
    return f"Change report: {_counted(n_loud, 'difference')}" if n_loud else "Change report: no difference found"


def _limits(survey: Survey) -> list[dict[str, str]]:
    """Return what was not measured, or not measured exactly, and why; what has one reason stands together."""
    by_reason: dict[str, dict[str, None]] = {}
    for what, why in _every_limit(survey):
        by_reason.setdefault(why, {})[what] = None
    return [{"what": _together(list(named)), "why": why} for why, named in by_reason.items()]


def _together(named: list[str]) -> str:
    if len(named) <= _MOST_NAMED:
        return ", ".join(named)
    return f"{', '.join(named[:_MOST_NAMED])} and {len(named) - _MOST_NAMED:,} more"


def _every_limit(survey: Survey) -> Iterator[tuple[str, str]]:
    for finding in survey.findings:
        what = finding.where or finding.kind.replace("_", " ")
        if finding.status == "not_measurable":
            yield what, finding.message or "not measurable"
        elif finding.status in {"estimated", "hint"}:
            yield what, f"{finding.status}, not measured: {finding.message or 'see its values'}"
    told = {finding.where for finding in survey.findings if finding.status == "not_measurable"}
    for result in survey.comparison.results:
        if result.relation is Relation.NOT_COMPARED and result.pair.key not in told:
            yield result.pair.key, result.reason or "not compared"
        elif result.relation is Relation.CHANGED and not result.same_shape:
            yield result.pair.key, "another shape, so how much the elements changed has no measure"
    for side in (survey.comparison.old, survey.comparison.new):
        yield from ((item.where, item.reason) for item in side.not_readable)


def _coverage(survey: Survey) -> float | None:
    measured = [one for one in survey.parameters if is_unchanged(one) or change_of(one) is not None]
    return share(sum(map(numel, measured)), sum(map(numel, survey.parameters)))


def _lines(found: list[Evidence], follows: list[Conclusion]) -> Iterator[str]:
    """Yield conclusions and findings as lines of at most 78 columns."""
    for title, texts in (
        ("conclusions", [item.text for item in follows]),
        ("findings", [item.text for item in found]),
    ):
        if texts:
            yield title
        for text in texts[:_MOST_SHOWN]:
            yield from textwrap.wrap(
                text, _COLUMNS, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
            )
        if len(texts) > _MOST_SHOWN:
            yield f"  … {len(texts) - _MOST_SHOWN:,} more in the values"
