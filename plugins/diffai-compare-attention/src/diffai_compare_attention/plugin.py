"""Declares the analyses of attention heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

NUM_HEADS = Option(
    "num-heads",
    "Attention heads of a layer, where the file does not say.",
    kind="integer",
    default=0,
    metavar="N",
)
NUM_KV_HEADS = Option(
    "num-kv-heads",
    "Heads of the keys and values (grouped-query attention), where the file does not say.",
    kind="integer",
    default=0,
    metavar="N",
)


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the three analyses."""
    yield ComparatorSpec(
        name="attention-analysis",
        title="Show how far the circuits of each attention head changed, whatever basis they are stored in.",
        target="diffai_compare_attention.analysis:compare",
        second_look="q, k, v and o of each layer once; products of heads in float64",
        options=(NUM_HEADS, NUM_KV_HEADS),
    )
    yield ComparatorSpec(
        name="head-importance",
        title="Rank the attention heads within each layer by how much they can write, and show whose rank changed.",
        target="diffai_compare_attention.importance:compare",
        second_look="v and o of each layer once; products of heads in float64",
        options=(NUM_HEADS, NUM_KV_HEADS),
    )
    yield ComparatorSpec(
        name="attention-pattern-diff",
        title="Show how far what each attention head looks for changed, and where the first layer looks.",
        target="diffai_compare_attention.patterns:compare",
        second_look="q and k of each layer once; products of heads in float64",
        options=(NUM_HEADS, NUM_KV_HEADS),
    )
