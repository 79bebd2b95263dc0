"""Rules over what other analyses found, if they were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_compare_review.gates import Gate, clear, counted, flagged, unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_compare_review.gates import Severity
    from diffai_core.plugin import Comparison, Finding


class _Rule(NamedTuple):
    """One analysis: what it is asked, how bad a warning of it is, and its comparator and summary."""

    rule: str
    comparator: str
    summary: str
    severity: Severity


_RULES = (
    _Rule("anomalies", "anomaly-detection", "anomaly_detection", "high"),
    _Rule("metrics", "regression-test", "regression_test", "high"),
    _Rule("quantisation_loss", "quantization-analysis", "quantization_analysis", "medium"),
    _Rule("gradients", "gradient-analysis", "gradient_analysis", "medium"),
    _Rule("memory", "memory-analysis", "memory_analysis", "medium"),
)


def other_gates(comparison: Comparison) -> Iterator[Gate]:
    """Yield the answers of analyses that ran; what did not run is unchecked, with the flag that runs it."""
    for rule in _RULES:
        found = [one for one in comparison.findings if one.plugin == rule.comparator or one.kind == rule.summary]
        yield _answer(rule, found)


def _answer(rule: _Rule, found: list[Finding]) -> Gate:
    flag = f"--{rule.comparator}"
    if not found:
        return unchecked(rule.rule, f"run {flag}")
    warned = [one for one in found if one.level in {"warning", "change", "error"}]
    if warned:
        first = warned[0]
        text = f"{counted(len(warned), 'warning')} of {flag}: {first.message or first.where}"
        return flagged(rule.rule, rule.severity, text, first.where, first.kind, n_warnings=len(warned))
    summary = next((one for one in found if one.kind == rule.summary), found[0])
    if summary.status == "not_measurable":
        return unchecked(rule.rule, f"{flag}: {summary.message}")
    return clear(rule.rule, f"{flag} warns of nothing")._replace(source=summary.kind)
