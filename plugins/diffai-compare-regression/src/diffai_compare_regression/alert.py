"""``--alert-on-degradation``: gates over what became worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_regression.gates import gate
from diffai_compare_regression.outcomes import find_regression
from diffai_compare_regression.regression import describe, what_is_missing
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_compare_regression.outcomes import Regression
    from diffai_core.plugin import Comparison

METRICS_RULE = "--alert-on-degradation: no metric is worse than tolerated"
TENSORS_RULE = "--alert-on-degradation: no new NaN or infinities, no weights lost"


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the summary, a gate over the metrics, and one over the tensors if there are any.

    Args:
        comparison: The artefacts after the pass.
        options: ``metric_direction``, ``regression_tolerance`` and ``regression_alpha``.
    """
    regression = find_regression(comparison, options)
    gates = [_metrics_gate(regression)]
    if regression.n_tensors:
        gates.append(_tensors_gate(regression))
    answers = [gate.values["passed"] for gate in gates]
    alert = True if False in answers else None if None in answers else False
    yield Finding(
        "alert_on_degradation",
        status="not_measurable" if alert is None else "measured",
        level="info",
        values={
            "alert": alert,
            "n_degraded": len(regression.having("degraded")),
            "n_tensors_with_new_nan_or_inf": len(regression.broken),
            "n_lost_tensors": len(regression.lost_tensors),
        },
        null={"alert": False},
        message=describe(regression) if regression.outcomes or not regression.same else _SAME,
    )
    yield from gates


_SAME = "OLD and NEW are the same, so that nothing can be worse"


def _metrics_gate(regression: Regression) -> Finding:
    degraded, unknown = regression.having("degraded"), regression.having("unknown direction")
    values = {
        "n_degraded": len(degraded),
        "n_metrics": len(regression.outcomes),
        "degraded": [outcome.row() for outcome in degraded],
    }
    if degraded or unknown or regression.lost_metrics:
        return gate(METRICS_RULE, False if degraded else None, describe(regression), values)
    if regression.outcomes:
        return gate(METRICS_RULE, True, f"none of {len(regression.outcomes)} metrics is", values)
    return gate(
        METRICS_RULE,
        True if regression.same else None,
        _SAME if regression.same else what_is_missing(regression),
        values,
    )


def _tensors_gate(regression: Regression) -> Finding:
    broken, lost = regression.broken, regression.lost_tensors
    values = {
        "n_tensors": regression.n_tensors,
        "broken": [{"tensor": one.key, "n_new_nan": one.n_nan, "n_new_inf": one.n_inf} for one in broken],
        "lost": list(lost),
    }
    if broken or lost:
        first = f"{broken[0].key} has new NaN or infinities" if broken else f"{lost[0]} is lost"
        more = len(broken) + len(lost) - 1
        return gate(TENSORS_RULE, False, first + (f", and {more} more tensors" if more else ""), values)
    if regression.unchecked:
        return gate(TENSORS_RULE, None, f"{regression.unchecked[0]} could not be looked at", values)
    return gate(TENSORS_RULE, True, f"of {regression.n_tensors:,} tensors", values)
