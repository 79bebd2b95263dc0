"""Declares the comparator of graphs; the work is in ``comparator.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_comparators() -> Iterator[ComparatorSpec]:
    """Yield the comparator of graphs, which runs without being asked for."""
    yield ComparatorSpec(
        name="graph",
        title="Compare the graphs: operators, attributes, connections, inputs and outputs.",
        target="diffai_compare_graph.comparator:compare",
        default=True,
        facets=("graph",),
    )
