"""Declares the gates: rules on the command line, the regression test, and the alert on degradation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

FAIL_IF = Option(
    "fail-if",
    "Fail (exit code 1) if RULE holds: MEASURE OP NUMBER [@ GLOB], as in 'rel_change > 0.1 @ *.norm.*'.",
    kind="text",
    default=(),
    multiple=True,
    metavar="RULE",
    check="diffai_compare_regression.rules:check_rule",
)
DIRECTION = Option(
    "metric-direction",
    "Say which way a metric is better, where its name does not tell: NAME=max or NAME=min.",
    kind="text",
    default=(),
    multiple=True,
    metavar="NAME=max|min",
    check="diffai_compare_regression.directions:check_direction",
)
TOLERANCE = Option(
    "regression-tolerance",
    "How much worse a metric may become: 0.01 (in its own unit), 2% (of OLD), or NAME=0.01 for one metric.",
    kind="text",
    default=(),
    multiple=True,
    metavar="[NAME=]NUMBER[%]",
    check="diffai_compare_regression.tolerances:check_tolerance",
)
SIGNIFICANCE = Option(
    "regression-alpha",
    "Chance of a false alarm over all metrics that come with standard errors (Holm).",
    kind="number",
    default=0.05,
    metavar="ALPHA",
    check="diffai_compare_regression.tolerances:check_alpha",
)


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the rules, the test and the alert."""
    yield ComparatorSpec(
        name="policy",
        title="Answer each rule of --fail-if.",
        target="diffai_compare_regression.policy:compare",
        default=True,
        needs=("changes", "moments", "extrema"),
        stage="judge",
        gate=True,
        second_look="with rules about NaN, infinities, zeros or sizes of NEW: each tensor they name, once",
        options=(FAIL_IF, DIRECTION),
    )
    yield ComparatorSpec(
        name="regression-test",
        title="Say which metrics became worse, and whether NaN, infinities or missing tensors came.",
        target="diffai_compare_regression.regression:compare",
        needs=("changes", "counts"),
        second_look="added and reshaped tensors once, for NaN and infinities",
        options=(DIRECTION, TOLERANCE, SIGNIFICANCE),
    )
    yield ComparatorSpec(
        name="alert-on-degradation",
        title="Fail (exit code 1) if a metric became worse than tolerated, or NaN, infinities or missing tensors came.",
        target="diffai_compare_regression.alert:compare",
        needs=("changes", "counts"),
        second_look="added and reshaped tensors once, for NaN and infinities",
        stage="judge",
        gate=True,
        options=(DIRECTION, TOLERANCE, SIGNIFICANCE),
    )
