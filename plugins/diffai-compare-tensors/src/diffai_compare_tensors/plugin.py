"""Declares the comparison of tensors and the analyses that print them in more detail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

TENSOR_DETAILS = Option(
    "tensor-details", "Add the norm ratio, mean and spread of the difference, and counts to each changed tensor."
)
DIFF_ONLY = Option("diff-only", "List only what differs, with --show-structure too.")
SORT = Option(
    "sort-by-change-magnitude", "Sort changed tensors by relative change, the largest first, instead of by name."
)
SORT_KEY = Option(
    "sort-key",
    "Sort changed tensors by this measure, the largest first; rel_change as with --sort-by-change-magnitude.",
    kind="choice",
    default="rel_change",
    choices=("rel_change", "energy", "max_abs", "effect"),
)


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the default comparison and its two detailed views."""
    yield ComparatorSpec(
        name="tensors",
        title="Say which tensors were added, removed, renamed, reshaped, cast or changed.",
        target="diffai_compare_tensors.tensors:compare",
        default=True,
        facets=("tensors",),
        needs=("changes", "moments", "extrema"),
        options=(TENSOR_DETAILS, SORT, SORT_KEY, DIFF_ONLY),
    )
    yield ComparatorSpec(
        name="stats",
        title="Show quantiles, distances between the distributions, zeros, NaN and ULPs of each changed tensor.",
        target="diffai_compare_tensors.stats:compare",
        needs=("changes", "counts", "moments", "higher_moments", "norms", "extrema", "histograms", "ulp"),
        options=(SORT, SORT_KEY),
    )
    yield ComparatorSpec(
        name="show-structure",
        title="Show every tensor with shape and dtype, and a summary of what changed in the structure.",
        target="diffai_compare_tensors.structure:compare",
        needs=("changes",),
        options=(DIFF_ONLY,),
    )
