"""Compares the graphs of two artefacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_graph import describe
from diffai_compare_graph.bodies import Bodies
from diffai_compare_graph.sides import Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison, Finding


def compare(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what differs between the graphs of two models.

    Kinds: ``graph_node_added``, ``graph_node_removed``, ``graph_node_changed``, ``graph_attribute_changed``,
    ``graph_io_changed``, ``graph_value_changed``, ``graph_values_described``, ``graph_names_changed`` and
    ``graph_not_comparable``; the README says what each means.

    Args:
        comparison: The two artefacts, and which tensors stand against each other under different names.
    """
    old, new = comparison.old, comparison.new
    if old.graph is None or new.graph is None:
        yield from _one_sided(comparison)
    elif old.format != new.format:
        yield describe.foreign(old, new)
    elif old.graph is not new.graph:
        yield from _differences(comparison)


def _one_sided(comparison: Comparison) -> Iterator[Finding]:
    old, new = comparison.old, comparison.new
    if old.graph is None and new.graph is None:
        return
    if old.format == new.format:
        yield describe.disappeared(old, new)
    elif new.graph is None:
        yield describe.missing(old, new, "OLD")
    else:
        yield describe.missing(new, old, "NEW")


def _differences(comparison: Comparison) -> Iterator[Finding]:
    old, new = comparison.old.graph, comparison.new.graph
    assert old is not None
    assert new is not None
    pairs = (result.pair for result in comparison.results)
    renamed = {pair.old_name: pair.key for pair in pairs if pair.renamed}
    outcome = Bodies(Side(old), Side(new), renamed).compare()
    for finding in outcome.findings:
        if comparison.keys.keeps(finding.where):
            yield finding
    if any(outcome.told_once):
        yield describe.values_told_once(*outcome.told_once)
    if outcome.nodes or outcome.values:
        yield describe.renamed(outcome.nodes, outcome.values)
