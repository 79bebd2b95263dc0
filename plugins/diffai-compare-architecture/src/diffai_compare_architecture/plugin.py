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
