"""What follows from the findings: each conclusion is a rule that names the findings it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import GATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diffai_compare_report.survey import Survey

_RESHAPED = ("tensor_added", "tensor_removed", "tensor_renamed", "tensor_prefix_changed", "tensor_shape_changed")
_JUDGEMENTS = ("risk_assessment", "deployment_readiness", "regression_test", "performance_impact_estimate")
_MOST_STACKS = 3


class Conclusion(NamedTuple):
    """One sentence and the kinds of findings it follows from."""

    text: str
    because: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return plain values."""
        return {"text": self.text, "because": list(self.because)}


def conclusions(survey: Survey) -> list[Conclusion]:
    """Return what follows from the findings, in the order in which a reader decides."""
    return [conclusion for rule in _RULES for conclusion in rule(survey)]


def _kinds(survey: Survey) -> set[str]:
    return {finding.kind for finding in survey.findings}


def _gates(survey: Survey) -> Iterator[Conclusion]:
    gates = [finding for finding in survey.findings if finding.kind == GATE]
    failed = [str(gate.values.get("rule", gate.where)) for gate in gates if gate.values.get("passed") is False]
    undecided = [str(gate.values.get("rule", gate.where)) for gate in gates if gate.values.get("passed") is None]
    if failed:
        yield Conclusion(f"Not accepted: {len(failed)} of {len(gates)} gates failed ({'; '.join(failed)}).", (GATE,))
    if undecided:
        yield Conclusion(f"Not decided: {'; '.join(undecided)} could not be measured.", (GATE,))
    if gates and not failed and not undecided:
        yield Conclusion(f"Accepted by every gate that was asked for ({len(gates)}).", (GATE,))


def _same(survey: Survey) -> Iterator[Conclusion]:
    loud = [finding for finding in survey.findings if finding.level != "info" and finding.kind != GATE]
    if not loud and not survey.n_changed and survey.n_tensors == survey.n_unchanged:
        yield Conclusion("No analysis that ran found a difference between OLD and NEW.", ())


def _named(survey: Survey) -> Iterator[Conclusion]:
    for finding in survey.findings:
        if finding.kind == "named_change":
            yield Conclusion(f"What was done to OLD: {finding.message.rstrip('.')}.", ("named_change",))


def _extent(survey: Survey) -> Iterator[Conclusion]:
    changed, unchanged = survey.blocks
    if changed and unchanged:
        text = f"The change is confined to some blocks: {_some(changed)} changed, {_some(unchanged)} did not."
        yield Conclusion(text, ("tensor_stats_changed",))
    elif changed and not survey.n_unchanged:
        yield Conclusion("Every parameter tensor changed; no part of OLD was kept.", ("tensor_stats_changed",))


def _some(stacks: list[str]) -> str:
    more = f" and {len(stacks) - _MOST_STACKS} more stacks" if len(stacks) > _MOST_STACKS else ""
    return "; ".join(stacks[:_MOST_STACKS]) + more


def _replaceable(survey: Survey) -> Iterator[Conclusion]:
    if not survey.n_tensors:
        return
    found = sorted(_kinds(survey) & {*_RESHAPED})
    if found:
        text = "NEW does not fit a program that loads OLD without a change: names or shapes of tensors differ."
        yield Conclusion(text, tuple(found))
    elif "tensor_dtype_changed" in _kinds(survey):
        text = "NEW has the names and shapes of OLD; its dtypes differ, so a program must accept them."
        yield Conclusion(text, ("tensor_dtype_changed",))
    elif survey.n_changed:
        text = "NEW fits wherever OLD is loaded: names, shapes and dtypes of all parameters are the same."
        yield Conclusion(text, ("tensors",))


def _not_finite(survey: Survey) -> Iterator[Conclusion]:
    n_tensors = len(survey.not_finite)
    if n_tensors:
        tensors = "tensor" if n_tensors == 1 else "tensors"
        text = f"NEW is damaged or diverged: {n_tensors} {tensors} gained NaN or infinite values."
        yield Conclusion(text, ("tensor_stats_changed",))


def _quality(survey: Survey) -> Iterator[Conclusion]:
    judged = [metric for metric in survey.metrics if metric.is_better is not None]
    for word, verdict in (("better", True), ("worse", False)):
        names = ", ".join(
            f"{metric.name} {metric.old:.4g} -> {metric.new:.4g}" for metric in judged if metric.is_better is verdict
        )
        if names:
            text = f"By the metrics in the files NEW is {word}: {names}; they compare only if taken on the same data."
            yield Conclusion(text, ("modified",))
    if survey.n_changed and not judged:
        text = "Whether NEW is better cannot be said: no metric of known direction is in both files with other values."
        yield Conclusion(text, ())


def _judgements(survey: Survey) -> Iterator[Conclusion]:
    for finding in survey.findings:
        if finding.kind in _JUDGEMENTS and not finding.where and finding.status != "not_measurable" and finding.message:
            words = finding.kind.replace("_", " ")
            text = f"{words[:1].upper()}{words[1:]}: {finding.message.rstrip('.')}."
            yield Conclusion(text, (finding.kind,))


def _look(survey: Survey) -> Iterator[Conclusion]:
    loud = [finding for finding in survey.findings if finding.level in {"warning", "error"} and finding.kind != GATE]
    if loud:
        kinds = tuple(dict.fromkeys(finding.kind for finding in loud))
        count = "1 finding wants" if len(loud) == 1 else f"{len(loud):,} findings want"
        yield Conclusion(f"{count} a person to look before NEW is used.", kinds)


_RULES: tuple[Callable[[Survey], Iterator[Conclusion]], ...] = (
    _gates,
    _same,
    _named,
    _extent,
    _replaceable,
    _not_finite,
    _quality,
    _judgements,
    _look,
)
