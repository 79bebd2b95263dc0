"""``--regression-test``: which metrics became worse, and whether anything broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_regression.outcomes import find_regression
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_compare_regression.outcomes import Outcome, Regression
    from diffai_core.plugin import Comparison, Status

NO_METRICS = (
    "no metric in common: give the folders with results.json, metrics.json, trainer_state.json or the output of the"
    " evaluation harness, or checkpoints that hold them"
)
"""What is missing where there is nothing to compare."""
_NAMED = 4


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the summary, then each metric and each tensor that became worse.

    Args:
        comparison: The artefacts after the pass.
        options: ``metric_direction``, ``regression_tolerance`` and ``regression_alpha``.
    """
    regression = find_regression(comparison, options)
    yield _summary(regression, options)
    for outcome in regression.having("degraded"):
        yield _metric(outcome)
    for tensor in regression.broken:
        yield Finding(
            "regression_test_tensor",
            where=tensor.key,
            level="warning",
            values={"n_new_nan": tensor.n_nan, "n_new_inf": tensor.n_inf},
            null=0,
            message=f"{tensor.n_nan:,} NaN and {tensor.n_inf:,} infinities that were not there",
        )


def _summary(regression: Regression, options: Mapping[str, Any]) -> Finding:
    degraded = regression.having("degraded")
    known = [outcome for outcome in regression.outcomes if outcome.verdict != "unknown direction"]
    worst = max(degraded, key=_excess, default=None)
    status: Status = "measured" if known or regression.broken or regression.lost_tensors else "not_measurable"
    return Finding(
        "regression_test",
        status=status,
        level="info",
        values={
            "n_degraded": len(degraded),
            "n_metrics": len(regression.outcomes),
            "worst_metric": worst.pair.new.name if worst else None,
            "worst_degradation": worst.pair.degradation if worst else None,
            "n_tensors_with_new_nan_or_inf": len(regression.broken),
            "n_lost_tensors": len(regression.lost_tensors),
            "n_better": len(regression.having("better")),
            "n_unchanged": len(regression.having("unchanged")),
            "n_within_tolerance": len(regression.having("within tolerance")),
            "n_not_significant": len(regression.having("worse, not significant")),
            "n_unknown_direction": len(regression.having("unknown direction")),
            "n_unreplicated": sum(outcome.status == "unreplicated" for outcome in known),
            "n_lost_metrics": len(regression.lost_metrics),
            "undirected_logs": list(regression.undirected_logs),
            "metrics": [outcome.row() for outcome in regression.outcomes],
            "lost_metrics": [{"name": one.name, "path": one.path, "old": one.value} for one in regression.lost_metrics],
            "lost_tensors": list(regression.lost_tensors),
        },
        null={"n_degraded": 0, "n_tensors_with_new_nan_or_inf": 0, "n_lost_tensors": 0},
        threshold={
            "tolerance": list(options["regression_tolerance"]) or [0.0],
            "alpha": options["regression_alpha"],
        },
        threshold_source="user" if options["regression_tolerance"] else "convention",
        message=describe(regression),
    )


def describe(regression: Regression) -> str:
    """Return one line that says what was found, or what is missing."""
    parts = []
    degraded, unknown = regression.having("degraded"), regression.having("unknown direction")
    if degraded:
        worst = max(degraded, key=_excess)
        parts.append(f"{_told(worst)}{f' and {len(degraded) - 1} more' if len(degraded) > 1 else ''}")
    elif not regression.outcomes:
        parts.append(what_is_missing(regression))
    else:
        parts.append(f"none of {len(regression.outcomes)} metrics became worse than tolerated")
    if unknown:
        name = unknown[0].pair.new.name
        parts.append(f"nothing says which way {name} is better; add --metric-direction {name}=max or =min")
    if any(outcome.status == "unreplicated" for outcome in regression.outcomes):
        parts.append("one value a side tells nothing about its spread")
    if regression.lost_metrics:
        parts.append(f"{regression.lost_metrics[0].name} is in OLD only")
    if regression.broken:
        parts.append(f"{len(regression.broken)} tensors with new NaN or infinities, first {regression.broken[0].key}")
    if regression.lost_tensors:
        parts.append(f"{len(regression.lost_tensors)} tensors lost, first {regression.lost_tensors[0]}")
    return "; ".join(parts)


def what_is_missing(regression: Regression) -> str:
    """Return what to give where there is no metric in common."""
    if not regression.undirected_logs:
        return NO_METRICS
    name = regression.undirected_logs[0]
    names = ", ".join(regression.undirected_logs[:_NAMED])
    more = len(regression.undirected_logs) - _NAMED
    others = f" and {more} more" if more > 0 else ""
    return f"nothing says whether logs are metrics ({names}{others}); add --metric-direction {name}=max or =min"


def _told(outcome: Outcome) -> str:
    pair = outcome.pair
    return f"{pair.new.name} {pair.old.value:.6g} -> {pair.new.value:.6g}"


def _excess(outcome: Outcome) -> float:
    """How far a degradation lies beyond what is tolerated, against the size of the metric."""
    worse = outcome.pair.degradation or 0.0
    return (worse - outcome.tolerance) / (abs(outcome.pair.old.value) or 1.0)


def _metric(outcome: Outcome) -> Finding:
    pair = outcome.pair
    better = "higher" if pair.direction == "max" else "lower"
    left_out = {"name", "path", "old", "new", "status", "verdict"}
    row = {key: value for key, value in outcome.row().items() if key not in left_out and value is not None}
    return Finding(
        "regression_test_metric",
        where=pair.new.path,
        status="measured",
        level="warning",
        old=pair.old.value,
        new=pair.new.value,
        values={"metric": pair.new.name, **row, "is_replicated": outcome.status == "measured"},
        null={"degradation": 0.0},
        threshold=outcome.tolerance,
        threshold_source="user",
        message=f"{_told(outcome)}, and {better} is better",
    )
