"""Declares the analyses of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

N_CLUSTERS = Option(
    "n-clusters",
    "Number of clusters; without it, the one whose clusters are best apart in OLD.",
    kind="integer",
    default=0,
    metavar="N",
)


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the three analyses."""
    yield ComparatorSpec(
        name="embedding-analysis",
        title="Show which rows of the embeddings moved or were added, and whether their geometry is the same.",
        target="diffai_compare_embeddings.embedding:compare",
        second_look="each embedding once; products of some thousand rows in float64",
    )
    yield ComparatorSpec(
        name="similarity-matrix",
        title="Show how similar the tensors of both models are, by role, against what unrelated ones would be.",
        target="diffai_compare_embeddings.similarity:compare",
        needs=("moments",),
        second_look="some thousand rows of each embedding and output layer; their products in float64",
    )
    yield ComparatorSpec(
        name="clustering-change",
        title="Show which rows of the embeddings changed their cluster, where the clusters are stable.",
        target="diffai_compare_embeddings.clustering:compare",
        second_look="at most 4,096 rows of each embedding; k-means, three times",
        options=(N_CLUSTERS,),
    )
