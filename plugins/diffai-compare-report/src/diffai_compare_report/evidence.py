"""What a report says was found: each sentence with the finding and the numbers behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import GATE, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from diffai_compare_report.survey import Survey

_MOST_NUMBERS = 6
_MOST_FLAGGED = 30
_MOST_RECORDS = 5
_OWN = frozenset({"generate_report", "include_charts", "named_change", "tolerance_to_pass"})
_STRUCTURE = {
    "tensor_added": "added",
    "tensor_removed": "removed",
    "tensor_renamed": "renamed",
    "tensor_shape_changed": "of another shape",
    "tensor_dtype_changed": "of another dtype",
}
_ENTRIES = ("added", "removed", "modified", "type_changed")
_TOLD_TOGETHER = frozenset({"tensor_not_compared", "tensor_statistics", "tensor_kept", "model_structure"})


class Evidence(NamedTuple):
    """One sentence and what is behind it.

    Args:
        text: The sentence.
        kind: Kind of the findings behind it.
        where: Tensor or entry; empty for the whole.
        numbers: What was measured.
        status: How the numbers were obtained.
        level: The level of the finding.
    """

    text: str
    kind: str
    where: str = ""
    numbers: Mapping[str, Any] = {}
    status: str = "measured"
    level: str = "info"

    def record(self) -> dict[str, Any]:
        """Return plain values."""
        evidence = {"kind": self.kind, "where": self.where, "numbers": dict(self.numbers), "status": self.status}
        return {"text": self.text, "level": self.level, "evidence": evidence}


def evidence(survey: Survey) -> list[Evidence]:
    """Return what was found, the whole before its parts, and what needs a person before the rest."""
    return [
        *_named(survey.findings),
        *_gates(survey.findings),
        *_tensors(survey),
        *_structure(survey.findings),
        *_not_finite(survey),
        *_entries(survey.findings),
        *_metrics(survey),
        *_answers(survey.findings),
        *_flagged(survey.findings),
    ]


def _named(findings: Iterable[Finding]) -> Iterator[Evidence]:
    for finding in findings:
        if finding.kind == "named_change":
            yield _of(finding, finding.message)


def _gates(findings: Iterable[Finding]) -> Iterator[Evidence]:
    words = {True: "passed", False: "failed", None: "could not be decided"}
    for finding in findings:
        if finding.kind == GATE:
            rule = str(finding.values.get("rule", finding.where))
            why = f": {finding.message}" if finding.message else ""
            yield _of(finding, f"gate {rule} {words[finding.values.get('passed')]}{why}")


def _tensors(survey: Survey) -> Iterator[Evidence]:
    if not survey.n_tensors:
        return
    numbers = {
        "n_tensors": survey.n_tensors,
        "n_changed": survey.n_changed,
        "n_unchanged": survey.n_unchanged,
        "changed_parameter_share": survey.changed_parameter_share,
    }
    text = f"{survey.n_changed:,} of {survey.n_tensors:,} parameter tensors changed, {survey.n_unchanged:,} did not"
    yield Evidence(text, "tensors", numbers=numbers)
    largest = survey.largest
    if largest is not None and largest.rel_change is not None:
        found = {"median_rel_change": survey.median_rel_change, "largest_rel_change": largest.rel_change}
        told = f"the changed tensors moved by {_of_norm(survey.median_rel_change)} in the median"
        most = f"{_of_norm(largest.rel_change)} at most ({largest.key})"
        yield Evidence(f"{told}, {most}", "tensor_stats_changed", largest.key, found)


def _structure(findings: Iterable[Finding]) -> Iterator[Evidence]:
    by_kind: dict[str, list[str]] = {}
    for finding in findings:
        if finding.kind in _STRUCTURE:
            by_kind.setdefault(finding.kind, []).append(finding.where)
    for kind, keys in by_kind.items():
        yield Evidence(_counted(keys, "tensor", _STRUCTURE[kind]), kind, numbers={"n": len(keys)}, level="change")


def _counted(keys: list[str], noun: str, what: str) -> str:
    named = ", ".join(keys[:_MOST_RECORDS])
    more = f" and {len(keys) - _MOST_RECORDS:,} more" if len(keys) > _MOST_RECORDS else ""
    return f"{len(keys):,} {noun}{'' if len(keys) == 1 else 's'} {what}: {named}{more}"


def _not_finite(survey: Survey) -> Iterator[Evidence]:
    for item in survey.not_finite[:_MOST_FLAGGED]:
        numbers = {"n_not_finite_old": item.n_old, "n_not_finite_new": item.n_new}
        text = f"{item.key} holds {item.n_new:,} values that are NaN or infinite, {item.n_old:,} before"
        yield Evidence(text, "tensor_stats_changed", item.key, numbers, level="warning")


def _entries(findings: Iterable[Finding]) -> Iterator[Evidence]:
    keys = [finding.where for finding in findings if finding.kind in _ENTRIES and finding.level != "info"]
    if keys:
        what = "of config or metadata " + ("differs" if len(keys) == 1 else "differ")
        text = _counted(keys, "entry", what).replace("entrys", "entries")
        yield Evidence(text, "modified", numbers={"n": len(keys)}, level="change")


def _metrics(survey: Survey) -> Iterator[Evidence]:
    for metric in survey.metrics:
        numbers = {"old": metric.old, "new": metric.new, "change": metric.new - metric.old}
        better = f"; {metric.direction} is better" if metric.direction else ""
        text = f"{metric.name} in the files: {metric.old:.6g} -> {metric.new:.6g}{better}"
        yield Evidence(text, "modified", metric.path, numbers)


def _answers(findings: Iterable[Finding]) -> Iterator[Evidence]:
    for finding in findings:
        if _is_answer(finding) and not finding.where and finding.status != "not_measurable":
            yield _of(finding, f"{_words(finding.kind)}: {finding.message or _first(finding.values)}")


def _is_answer(finding: Finding) -> bool:
    from diffai_core.plugin import ABSENT

    known = _OWN | _TOLD_TOGETHER | _STRUCTURE.keys() | set(_ENTRIES) | {GATE}
    is_record = finding.old is not ABSENT or finding.new is not ABSENT
    return finding.kind not in known and not is_record and not finding.kind.startswith("tensor_")


def _flagged(findings: Iterable[Finding]) -> Iterator[Evidence]:
    loud = [finding for finding in findings if finding.level in {"warning", "error"} and finding.kind != GATE]
    loud = [finding for finding in loud if finding.where or finding.level == "error"]
    for finding in loud[:_MOST_FLAGGED]:
        place = f" in {finding.where}" if finding.where else ""
        yield _of(finding, f"{_words(finding.kind)}{place}: {finding.message or _first(finding.values)}")
    if len(loud) > _MOST_FLAGGED:
        n_more = len(loud) - _MOST_FLAGGED
        yield Evidence(f"{n_more:,} more findings want a look", loud[-1].kind, numbers={"n": n_more}, level="warning")


def _of(finding: Finding, text: str) -> Evidence:
    scalars = {str(key): value for key, value in finding.values.items() if not isinstance(value, (list, tuple, dict))}
    numbers = dict(list(scalars.items())[:_MOST_NUMBERS])
    return Evidence(text, finding.kind, finding.where, numbers, finding.status, finding.level)


def _first(values: Mapping[str, Any]) -> str:
    scalars = [(key, value) for key, value in values.items() if not isinstance(value, (list, tuple, dict))]
    return ", ".join(f"{key} {_shown(value)}" for key, value in scalars[:3])


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _of_norm(share: float | None) -> str:
    if share is None:
        return "n/a"
    return f"{share * 100:.3g} % of their norm" if share < 1 else f"{share:.3g} times their norm"
