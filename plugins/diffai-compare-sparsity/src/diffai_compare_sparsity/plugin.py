"""Declares the analyses of zeros and of sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield both analyses."""
    yield ComparatorSpec(
        name="sparsity-analysis",
        title="Say how many weights are zero, in what pattern, and how the zeros of OLD and NEW overlap.",
        target="diffai_compare_sparsity.analysis:compare",
        needs=("counts", "moments", "sparsity", "rows", "columns"),
        scope="all",
        second_look="16,384 elements of each weight; in full, matrices that are nearly half zero, for their pattern,"
        " and changed tensors with zeros on both sides",
    )
    yield ComparatorSpec(
        name="show-size-reduction",
        title="Say what made the model smaller or larger: tensors, shapes, dtypes, quantisation, tied storage, zeros.",
        target="diffai_compare_sparsity.sizes:compare",
        needs=("counts",),
        scope="all",
    )
