"""Declares the analyses of architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the analyses."""
    yield ComparatorSpec(
        name="architecture-comparison",
        title="Compare depth, width, heads, parameters by role, operators and inputs of the two models.",
        target="diffai_compare_architecture.architecture:compare",
    )
    yield ComparatorSpec(
        name="model-type",
        title="Say what kind of model each file holds, by its configuration and by the names of its tensors.",
        target="diffai_compare_architecture.model_type:compare",
    )
    yield ComparatorSpec(
        name="param-efficiency-analysis",
        title="Measure how well the parameters are used: zeros, dead rows, copies, effective rank, entropy.",
        target="diffai_compare_architecture.efficiency:compare",
        needs=("counts", "moments", "rows"),
        scope="all",
        second_look="matrices of both sides once: spectra in float64, whole up to a side of 768 and 10^10 "
        "multiplications, beyond that 256 x 1,024 elements of at most 256 matrices; tensors that look alike once",
    )
