"""Declares the analyses of settings and learning rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the three analyses."""
    yield ComparatorSpec(
        name="hyperparameter-comparison",
        title="List the settings in which two trainings differ, apart from paths, names of runs and devices.",
        target="diffai_compare_hyperparameters.impact:compare_settings",
    )
    yield ComparatorSpec(
        name="hyperparameter-impact",
        title="Hold differing settings against differing metrics; attribute them only where one setting differs.",
        target="diffai_compare_hyperparameters.impact:analyse_impact",
        series=True,
    )
    yield ComparatorSpec(
        name="learning-rate-analysis",
        title="Show learning rates and schedules, check one against the other, and bound what weights tell of them.",
        target="diffai_compare_hyperparameters.rates:analyse",
        needs=("extrema",),
        second_look="weights and moments, where the sides are exactly one optimizer step apart: each once, in blocks",
    )
