"""``--hyperparameter-comparison`` and ``--hyperparameter-impact``."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from diffai_lib_training import training_of

from diffai_compare_hyperparameters.differences import changes_between, metrics_between, settings_of
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_lib_training import Training

    from diffai_compare_hyperparameters.differences import Change, MetricChange
    from diffai_core.plugin import Comparison

COMPARISON = "hyperparameter_comparison"
IMPACT = "hyperparameter_impact"
LEAST_RUNS_TO_RANK = 20
_MOST_RUNS = 200
_NEEDS_SETTINGS = (
    "needs the settings of both trainings: args, hyper_parameters, config, param_groups or metadata in the files; give"
    " training checkpoints, their folders, or configurations"
)
_ONE_RUN = "one run each says nothing of chance"


def _trainings(comparison: Comparison) -> list[Training]:
    return [training_of(artifact, comparison.keys.keeps) for artifact in comparison.series]


def compare_settings(comparison: Comparison, _: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the settings in which OLD and NEW differ."""
    old, new = (settings_of(training_of(side, comparison.keys.keeps)) for side in (comparison.old, comparison.new))
    if not old or not new:
        yield _lacking(COMPARISON, bool(old), bool(new))
        return
    changes = changes_between(old, new)
    told = [change for change in changes if change.counts]
    others = [change for change in changes if not change.counts]
    yield Finding(
        COMPARISON,
        level="info",
        values={
            "n_changed": len(told),
            "changed": [change.name for change in told],
            "n_same": len(old.keys() & new.keys()) - sum(c.old is not None and c.new is not None for c in changes),
            "changes": [change.row() for change in told],
            "not_hyperparameters": [change.row() for change in others],
        },
        null={"n_changed": 0},
        message=_told(told, len(others)),
    )


def _lacking(kind: str, has_old: bool, has_new: bool) -> Finding:
    side = "" if has_old == has_new else f"{'OLD' if has_new else 'NEW'} states no settings; "
    return Finding(kind, status="not_measurable", level="info", message=side + _NEEDS_SETTINGS)


def _told(changes: Sequence[Change], n_others: int) -> str:
    """Return the changes in one line."""
    few = 4
    shown = [f"{change.name} {_value(change, 'old')} -> {_value(change, 'new')}" for change in changes[:few]]
    more = [f"{len(changes) - few} more"] if len(changes) > few else []
    others = [f"{n_others} that are paths, names or devices"] if n_others else []
    return "; ".join([*shown, *more, *others]) or "all settings that both state are the same"


def _value(change: Change, side: str) -> str:
    longest = 40
    found = getattr(change, side)
    text = "(none)" if found is None else repr(found.value)
    return text if len(text) <= longest else f"{text[:longest]}…"


def analyse_impact(comparison: Comparison, _: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield differences in settings and in metrics, attributed only where exactly one setting differs."""
    trainings = _trainings(comparison)
    settings = [settings_of(training) for training in trainings]
    if not settings[0] or not settings[-1]:
        yield _lacking(IMPACT, bool(settings[0]), bool(settings[-1]))
        return
    told = [change for change in changes_between(settings[0], settings[-1]) if change.counts]
    metrics = metrics_between(trainings[0], trainings[-1])
    series = _series_values(trainings)
    values = {
        "n_changes": len(told),
        "high_impact": _attributed(told, metrics),
        "changes": [change.row() for change in told],
        "metrics": [metric.row() for metric in metrics],
        **series,
    }
    measurable = bool(metrics) or any(series.get("attributions", ()))
    yield Finding(
        IMPACT,
        status="measured" if measurable else "not_measurable",
        level="info",
        values=values,
        null={"delta": 0.0},
        message=_verdict(told, metrics, len(trainings)),
    )


def _attributed(changes: Sequence[Change], metrics: Sequence[MetricChange]) -> str | None:
    """Return the one setting to which differences of metrics are due; ``None`` unless exactly one differs."""
    moved = any(metric.old != metric.new for metric in metrics)
    return changes[0].name if len(changes) == 1 and moved else None


def _verdict(changes: Sequence[Change], metrics: Sequence[MetricChange], n_runs: int) -> str:
    parts = []
    if not metrics:
        parts.append("no metric stands in both files: needs logs or results (loss, accuracy, …) on both sides")
    if not changes:
        parts.append("no setting differs: differences of metrics have other causes")
    elif len(changes) == 1:
        kind = "the seed" if changes[0].new and changes[0].new.kind == "seed" else "one setting"
        parts.append(f"{kind} differs: {_told(changes, 0)}")
    else:
        parts.append(f"confounded: {len(changes)} differ ({_told(changes, 0)})")
    if metrics and changes:
        parts.append(_ONE_RUN)
    if n_runs > 2:  # noqa: PLR2004 - a series
        parts.append(
            f"settings are not ranked: {n_runs} runs are fewer than {LEAST_RUNS_TO_RANK}"
            if n_runs < LEAST_RUNS_TO_RANK
            else "settings are not ranked: pairs of runs that differ in one setting are listed instead"
        )
    return "; ".join(parts)


def _series_values(trainings: Sequence[Training]) -> dict[str, Any]:
    """Return the pairs of runs of a series that differ in exactly one setting, with what their metrics did."""
    if len(trainings) <= 2:  # noqa: PLR2004 - no series
        return {}
    attributions = []
    settings = [settings_of(training) for training in trainings[:_MOST_RUNS]]
    for (i, a), (j, b) in combinations(enumerate(settings), 2):
        told = [change for change in changes_between(a, b) if change.counts]
        if len(told) == 1:
            metrics = [metric.row() for metric in metrics_between(trainings[i], trainings[j])]
            attributions.append({"runs": [i, j], "setting": told[0].row(), "metrics": metrics} if metrics else {})
    return {"n_runs": len(trainings), "attributions": [found for found in attributions if found]}
