"""Declares the naming of the change and the reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the default naming and the four reviews."""
    yield ComparatorSpec(
        name="change",
        title="Name the change before it is measured: cast, rename, pruned, merged LoRA, fine-tune, or other weights.",
        target="diffai_compare_review.change:compare",
        default=True,
        needs=("changes", "moments", "extrema"),
        stage="judge",
        second_look="at most 96 rows and columns of 6 changed tensors",
    )
    statistics = ("changes", "moments", "extrema")
    yield ComparatorSpec(
        name="change-summary",
        title="Name the change from a full look: what became of each tensor, with the evidence.",
        target="diffai_compare_review.reviews:change_summary",
        needs=statistics,
        stage="judge",
        second_look="each changed tensor once; singular values of at most 512 rows and columns of each matrix",
    )
    yield ComparatorSpec(
        name="review-friendly",
        title="Say what a reviewer should look at first, in order, with the evidence.",
        target="diffai_compare_review.reviews:review_friendly",
        needs=(*statistics, "counts"),
        stage="judge",
        second_look="as the naming of the change; head and embedding where the configuration ties them",
    )
    yield ComparatorSpec(
        name="risk-assessment",
        title="Hold the change against rules: values, structure, configuration, tokenizer, code, lineage.",
        target="diffai_compare_review.reviews:risk_assessment",
        needs=(*statistics, "counts"),
        stage="judge",
        second_look="as the naming of the change; head and embedding where the configuration ties them",
    )
    yield ComparatorSpec(
        name="deployment-readiness",
        title="Say whether a rule blocks the deployment of NEW, and which rules were not checked.",
        target="diffai_compare_review.reviews:deployment_readiness",
        needs=(*statistics, "counts"),
        scope="all",
        stage="judge",
        second_look="as the naming of the change; head and embedding where the configuration ties them",
    )
