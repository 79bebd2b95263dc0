"""Declares the analyses of quantisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

PRECISION_LOSS = Option(
    "precision-loss-threshold",
    "Name the tensors whose relative error ‖NEW - OLD‖/‖OLD‖ is above this.",
    kind="number",
    default=None,
    metavar="SHARE",
)


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield both analyses."""
    yield ComparatorSpec(
        name="quantization-analysis",
        title="Say how NEW is quantised or cast, what that costs in SQNR, and what other schemes would cost.",
        target="diffai_compare_quantization.analysis:compare",
        needs=("moments", "extrema", "counts"),
        options=(PRECISION_LOSS,),
        second_look="some rows of each matrix; casts and integer codes without scales in full",
    )
    yield ComparatorSpec(
        name="quantization-aware",
        title="Say whether rounding to the dtype or grid of NEW explains every change.",
        target="diffai_compare_quantization.aware:compare",
        needs=("moments", "extrema", "counts"),
        second_look="casts in full; some rows of each tensor that is quantised or on a grid",
    )
