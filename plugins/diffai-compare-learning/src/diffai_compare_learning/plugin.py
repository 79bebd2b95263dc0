"""Declares the analyses of training progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEEDS = ("changes", "moments", "norms", "extrema")


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield both analyses."""
    yield ComparatorSpec(
        name="learning-progress",
        title="Say how far training moved the parameters, in how many steps, and what it did to the metrics.",
        target="diffai_compare_learning.progress:compare",
        needs=_NEEDS,
        scope="paired",
        series=True,
    )
    yield ComparatorSpec(
        name="convergence-analysis",
        title="Say whether the steps between checkpoints still go somewhere: progressing, bouncing, converged.",
        target="diffai_compare_learning.convergence:compare",
        needs=_NEEDS,
        scope="paired",
        series=True,
        second_look="with more than two checkpoints: every parameter of each once, side by side",
    )
