"""Declares the analyses of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECOND_LOOK = (
    "state tensors that the pass did not measure (equal on both sides, or of one side only) once, in blocks; second"
    " moments of embeddings and of tensors with zeros once more, row by row"
)


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the analysis of each side and the comparison of both."""
    yield ComparatorSpec(
        name="gradient-analysis",
        title="Measure size, signal-to-noise ratio and depth profile of the gradients that an optimizer last saw.",
        target="diffai_compare_gradients.analysis:analyse",
        needs=("moments", "counts"),
        second_look=_SECOND_LOOK,
    )
    yield ComparatorSpec(
        name="compare-gradients",
        title="Compare direction and size of the gradients that two optimizers last saw.",
        target="diffai_compare_gradients.pairs:compare",
        needs=("moments", "counts"),
        second_look="state tensors of one parameter that the pass did not pair, once on either side, in blocks",
    )
