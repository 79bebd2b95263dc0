"""The four reviews: summary of the change, what to look at first, risk, readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_review.change import finding_of
from diffai_compare_review.config_gates import config_gates
from diffai_compare_review.effort import FULL, SAMPLE
from diffai_compare_review.gates import SEVERITIES, Gate, worst
from diffai_compare_review.naming import name_change
from diffai_compare_review.other_gates import other_gates
from diffai_compare_review.own_gates import own_gates
from diffai_compare_review.survey import Survey, elements_of, rel_change
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_review.named import Name
    from diffai_core.plugin import Comparison

_WIDTH = 78
_MOST_LINES = 12
_LARGEST = 3
_ESSENTIAL = frozenset({"readable", "non_finite_values", "tensors_as_before", "lineage", "metrics"})
"""Rules without which nobody can say that a model is ready."""


def change_summary(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the name of the change from a full look, with what became of each tensor."""
    name = name_change(comparison, FULL)
    if name is None:
        yield Finding(
            "change_summary", level="info", values={"change": "none"}, coverage=1.0, message=_nothing(comparison)
        )
        return
    found = finding_of(name, "change_summary", selected=comparison.keys.active)
    survey = Survey(comparison)
    counts = {
        "changed_parameters": elements_of([*survey.changed, *survey.reshaped]),
        "kept_parameters": elements_of(survey.kept),
        "metadata_changed": survey.tree_changed,
    }
    yield _with(found, counts)


def _with(finding: Finding, more: Mapping[str, Any]) -> Finding:
    from dataclasses import replace

    change = {"change": finding.values["change"]}
    return replace(finding, values={**change, **more, **finding.values})


def _nothing(comparison: Comparison) -> str:
    if not comparison.old.tensors or not comparison.new.tensors:
        return "nothing to name: one side has no tensors"
    return "no tensor and no entry changed"


def _gates(comparison: Comparison, name: Name | None) -> list[Gate]:
    """Return all gates, what was found first, the worst first."""
    gates = [*own_gates(comparison, name), *config_gates(comparison), *other_gates(comparison)]
    return sorted(gates, key=lambda gate: -SEVERITIES.index(gate.severity))


def _tables(gates: Sequence[Gate]) -> dict[str, Any]:
    return {
        "flagged": [gate.row() for gate in gates if gate.state == "flagged"],
        "clear": [gate.row() for gate in gates if gate.state == "clear"],
        "unchecked": [{"rule": gate.rule, "needs": gate.text} for gate in gates if gate.state == "unchecked"],
    }


def _lines(gates: Sequence[Gate]) -> tuple[str, ...]:
    """Return what was found and what was not checked, in lines for a person."""
    found = [f"{gate.severity}: {gate.text}{_at(gate)}" for gate in gates if gate.state == "flagged"]
    missing = [f"unchecked: {gate.rule} ({gate.text})" for gate in gates if gate.state == "unchecked"]
    return tuple(map(_cut, [*found, *missing][:_MOST_LINES]))


def _at(gate: Gate) -> str:
    return f" [{gate.where}]" if gate.where and gate.where not in gate.text else ""


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _counts(gates: Sequence[Gate]) -> dict[str, int]:
    return {
        "n_flagged": sum(gate.state == "flagged" for gate in gates),
        "n_clear": sum(gate.state == "clear" for gate in gates),
        "n_unchecked": sum(gate.state == "unchecked" for gate in gates),
    }


def risk_assessment(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the highest severity among the rules that could be asked, and which could not."""
    if not comparison.new.tensors:
        yield _no_model("risk_assessment")
        return
    gates = _gates(comparison, name_change(comparison, SAMPLE))
    risk = worst(gates)
    first = next((gate for gate in gates if gate.state == "flagged"), None)
    values = {"risk": risk, "from_rule": first.rule if first else None, **_counts(gates), **_tables(gates)}
    yield Finding(
        "risk_assessment",
        level="warning" if risk == "high" else "info",
        values=values,
        null={"risk": "none"},
        threshold={"order": list(SEVERITIES)},
        threshold_source="convention",
        message=_risk_text(first, gates),
        detail=_lines(gates),
    )


def _risk_text(first: Gate | None, gates: Sequence[Gate]) -> str:
    counts = _counts(gates)
    rest = f"{counts['n_clear']} rules found nothing, {counts['n_unchecked']} were not checked"
    return f"{first.severity}, because of {first.rule}: {first.text}; {rest}" if first else f"nothing found; {rest}"


def deployment_readiness(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield ready, blocked, or undecided while an essential rule was not checked."""
    if not comparison.new.tensors:
        yield _no_model("deployment_readiness")
        return
    gates = _gates(comparison, name_change(comparison, SAMPLE))
    risk = worst(gates)
    blocking = [gate for gate in gates if gate.severity == "high"]
    open_rules = [gate for gate in gates if gate.state == "unchecked" and gate.rule in _ESSENTIAL]
    readiness = "blocked" if blocking else "undecided" if open_rules else "ready"
    reasons = [gate.rule for gate in (blocking or open_rules)]
    yield Finding(
        "deployment_readiness",
        level="warning" if blocking else "info",
        values={"readiness": readiness, "risk": risk, "because_of": reasons, **_counts(gates), **_tables(gates)},
        null={"readiness": "undecided"},
        threshold={"blocked_by": "high", "essential": sorted(_ESSENTIAL)},
        threshold_source="convention",
        message=_readiness_text(readiness, blocking, open_rules),
        detail=_lines(gates),
    )


def _readiness_text(readiness: str, blocking: Sequence[Gate], open_rules: Sequence[Gate]) -> str:
    if blocking:
        return f"blocked by {blocking[0].rule}: {blocking[0].text}"
    if open_rules:
        return f"undecided: {open_rules[0].rule} was not checked ({open_rules[0].text})"
    return f"{readiness}: every essential rule was checked, none blocks"


def _no_model(kind: str) -> Finding:
    message = "needs a model: NEW has no tensors; give a checkpoint or the folder of a model"
    return Finding(kind, status="not_measurable", level="info", message=message)


def review_friendly(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what to look at first, in order, each with its evidence."""
    name = name_change(comparison, SAMPLE)
    gates = _gates(comparison, name)
    items = [*_gate_items(gates), *_name_items(name), *_tensor_items(comparison), *_entry_items(comparison)]
    if not items:
        items = [{"look_at": "nothing", "why": _nothing(comparison), "where": ""}]
    open_rules = [{"rule": gate.rule, "needs": gate.text} for gate in gates if gate.state == "unchecked"]
    first = items[0]
    yield Finding(
        "review_friendly",
        level="info",
        values={"n_items": len(items), "n_unchecked": len(open_rules), "look_at": items, "unchecked": open_rules},
        message=f"look first at {first['look_at']}: {first['why']}",
        detail=tuple(_cut(f"{at}. {item['look_at']}: {item['why']}") for at, item in enumerate(items[:_MOST_LINES], 1)),
    )


def _gate_items(gates: Sequence[Gate]) -> list[dict[str, Any]]:
    return [
        {"look_at": gate.rule, "why": f"{gate.text}{_at(gate)}", "where": gate.where, "numbers": dict(gate.numbers)}
        for gate in gates
        if gate.state == "flagged"
    ]


def _name_items(name: Name | None) -> list[dict[str, Any]]:
    if name is None:
        return []
    numbers = {item["measure"]: item["value"] for item in name.evidence}
    return [{"look_at": "the change", "why": name.text, "where": "", "numbers": numbers}]


def _tensor_items(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the tensors that changed most against their size."""
    sizes = [
        (size, result.pair.key) for result in Survey(comparison).changed if (size := rel_change(result)) is not None
    ]
    largest = sorted(sizes, key=lambda item: (-item[0], item[1]))[:_LARGEST]
    return [
        {"look_at": key, "why": f"rel_change {size:.3g}", "where": key, "numbers": {"rel_change": size}}
        for size, key in largest
    ]


def _entry_items(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the entries of configuration that changed, up to a few."""
    kinds = {"modified", "type_changed", "added", "removed"}
    found = [one for one in comparison.findings if one.kind in kinds and one.level == "change"]
    return [{"look_at": one.where, "why": one.kind.replace("_", " "), "where": one.where} for one in found[:_LARGEST]]
