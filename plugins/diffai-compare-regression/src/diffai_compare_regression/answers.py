"""What the rules of ``--fail-if`` come to."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import cached_property
from typing import TYPE_CHECKING, Any

from diffai_compare_regression import measures
from diffai_compare_regression.gates import gate
from diffai_compare_regression.measures import Reading
from diffai_core.plugin import GATE, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from diffai_compare_regression.measures import NewValues
    from diffai_compare_regression.metrics import Metrics
    from diffai_compare_regression.rules import Rule
    from diffai_core.plugin import Comparison, Finding, PairResult

_LEVELS = {"changes": "change", "warnings": "warning", "errors": "error"}


class Answers:
    """Answers rules about one comparison.

    Args:
        comparison: The artefacts after the pass.
        directions: Which way metrics are better, as the user says it.
    """

    def __init__(self, comparison: Comparison, directions: Sequence[str]) -> None:
        self._comparison = comparison
        self._directions = directions
        self._new_values: dict[str, NewValues | None] = {}

    def to(self, rule: Rule) -> Finding:
        """Return the gate that answers ``rule``."""
        if rule.subject in {"pair", "new"}:
            return self._over_tensors(rule)
        find: dict[str, Callable[[Rule], Reading]] = {
            "model": self._of_model,
            "run": self._of_run,
            "metric": self._of_metric,
            "degradation": self._of_metric,
            "analysis": self._of_analysis,
        }
        return _one_value(rule, find[rule.subject](rule))

    # -- tensors -----------------------------------------------------------------------------------------------

    def _matching(self, rule: Rule) -> list[PairResult]:
        """Return the tensors that a rule is about: any of their names may match."""
        if rule.glob is None:
            return list(self._comparison.results)
        matches = re.compile(translate(rule.glob)).match
        return [
            result for result in self._comparison.results if matches(result.pair.key) or matches(result.pair.old_name)
        ]

    def _over_tensors(self, rule: Rule) -> Finding:
        results = self._matching(rule)
        if rule.subject == "new":
            results = [result for result in results if result.pair.new is not None]
        if not results:
            return gate(rule.text, None, self._nothing_matches(rule), threshold=rule.limit)
        if rule.subject == "new":
            readings = self._new_readings(rule, results)
        else:
            readings = {result.pair.key: measures.of_pair(rule.measure, result) for result in results}
        return _worst(rule, readings)

    def _nothing_matches(self, rule: Rule) -> str:
        results = self._comparison.results
        if not results:
            return "no tensors were compared"
        if rule.glob is None:
            return "NEW has no tensors"
        return f"no tensor has a name like {rule.glob}; there is for instance {results[0].pair.key}"

    def _new_readings(self, rule: Rule, results: Sequence[PairResult]) -> dict[str, Reading]:
        readable = [result.pair for result in results if result.relation is not Relation.NOT_COMPARED]
        unread = [pair for pair in readable if pair.key not in self._new_values]
        found = self._comparison.map(measures.look_at_new, unread, lambda pair: pair.new.nbytes if pair.new else 0)
        self._new_values.update(zip((pair.key for pair in unread), found, strict=True))
        return {
            result.pair.key: measures.of_new(rule.measure, self._new_values[result.pair.key])
            if result.pair.key in self._new_values
            else Reading(None, result.reason)
            for result in results
        }

    # -- everything else ---------------------------------------------------------------------------------------

    def _of_model(self, rule: Rule) -> Reading:
        results = self._matching(rule)
        if not results and (rule.glob is not None or rule.measure.startswith(("parameters", "bytes"))):
            return Reading(None, self._nothing_matches(rule))
        return measures.of_model(rule.measure, results)

    def _of_run(self, rule: Rule) -> Reading:
        findings = [finding for finding in self._comparison.findings if finding.kind != GATE]
        if rule.measure in _LEVELS:
            return Reading(float(sum(finding.level == _LEVELS[rule.measure] for finding in findings)))
        summary = next((finding for finding in findings if finding.kind == "anomaly_detection"), None)
        if summary is None:
            return Reading(None, "nothing looked for anomalies; add --anomaly-detection")
        if summary.status == "not_measurable":
            return Reading(None, summary.message)
        return Reading(float(sum(finding.kind == "anomaly" for finding in findings)))

    def _of_analysis(self, rule: Rule) -> Reading:
        kind, _, field = rule.measure.partition(".")
        found = [finding for finding in self._comparison.findings if finding.kind == kind and not finding.where]
        if len(found) != 1:
            flag = kind.replace("_", "-")
            return Reading(None, f"no analysis that ran gives one {kind}; add its flag (--{flag}, or see --plugins)")
        value = found[0].values.get(field)
        if isinstance(value, (int, float)) and value == value:  # noqa: PLR0124 - NaN is no value
            return Reading(float(value))
        if field in found[0].values:
            why = found[0].message if value is None and found[0].message else f"it is {value!r:.60}"
            return Reading(None, f"{field} of {kind} is no number ({why})")
        return Reading(None, f"{kind} has no field {field}; numbers are {_numbers(found[0]) or 'none'}")

    @cached_property
    def _metrics(self) -> Metrics:
        from diffai_compare_regression.metrics import metrics_of

        return metrics_of(self._comparison, self._directions)

    def _of_metric(self, rule: Rule) -> Reading:
        if rule.subject == "metric":
            return self._metrics.value_in_new(rule.measure)
        return self._metrics.degradation(rule.measure)


def _worst(rule: Rule, readings: dict[str, Reading]) -> Finding:
    """Return the gate over many tensors, with the one that lies furthest on the failing side."""
    values = {key: reading.value for key, reading in readings.items() if reading.value is not None}
    missing = {key: reading.reason for key, reading in readings.items() if reading.reason}
    failing = [key for key, value in values.items() if rule.holds(value)]
    worst = max(values, key=lambda key: (key in failing, rule.excess(values[key])), default=None)
    evidence: dict[str, Any] = {
        "tensor": worst,
        "value": None if worst is None else values[worst],
        "n_failed": len(failing),
        "n_tensors": len(readings),
        "failed": failing,
        "not_measurable": [{"tensor": key, "reason": reason} for key, reason in missing.items()],
    }
    said = "" if worst is None else f"{worst} has {rule.measure} {values[worst]:.4g}"
    if failing:
        return gate(
            rule.text, False, f"{said} ({len(failing)} of {_tensors(readings)})", evidence, threshold=rule.limit
        )
    if missing:
        first = next(iter(missing))
        why = f"{rule.measure} is not known of {len(missing)} of {_tensors(readings)}; {first}: {missing[first]}"
        return gate(rule.text, None, why, evidence, threshold=rule.limit)
    return gate(rule.text, True, f"nearest of {_tensors(readings)}: {said}", evidence, threshold=rule.limit)


def _one_value(rule: Rule, reading: Reading) -> Finding:
    evidence = {"value": reading.value}
    if reading.value is None or (reading.reason and not rule.holds(reading.value)):
        return gate(rule.text, None, reading.reason, evidence, threshold=rule.limit)
    name = f"{rule.subject}:{rule.measure}" if rule.subject in {"metric", "degradation"} else rule.measure
    why = f"{name} is {reading.value:.6g}"
    return gate(rule.text, not rule.holds(reading.value), why, evidence, threshold=rule.limit)


def _tensors(readings: dict[str, Reading]) -> str:
    return f"{len(readings):,} tensor{'' if len(readings) == 1 else 's'}"


def _numbers(finding: Finding) -> str:
    return ", ".join(name for name, value in finding.values.items() if isinstance(value, (int, float)))
