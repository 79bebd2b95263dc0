"""Declares the analysis of where in a model the change is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the analysis."""
    yield ComparatorSpec(
        name="show-layer-impact",
        title="Show where in the model the change is, by block and role, with a heat map.",
        target="diffai_compare_layer_impact.comparator:compare",
        needs=("moments", "rows"),
    )
