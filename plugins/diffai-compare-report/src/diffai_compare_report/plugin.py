"""Declares the written report and its charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the report and the charts."""
    yield ComparatorSpec(
        name="generate-report",
        title="Sum up what all analyses found: findings with evidence, conclusions, and what was not measured.",
        target="diffai_compare_report.report:report",
        needs=("changes", "moments"),
        stage="report",
    )
    yield ComparatorSpec(
        name="include-charts",
        title="Add charts with their data: change by block and role, distributions, training curves.",
        target="diffai_compare_report.charts:charts",
        needs=("changes", "moments", "histograms"),
        stage="report",
    )
