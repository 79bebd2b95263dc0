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
        second_look="at most 96 rows and columns of 8 changed tensors",
    )
