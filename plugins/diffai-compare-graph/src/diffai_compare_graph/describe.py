"""Words what differs between two graphs as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_graph.plain import node_count, shown
from diffai_core.plugin import ABSENT, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_core.plugin import Artifact, Node

_EXAMPLES = 5


def node_shown(node: Node) -> dict[str, Any]:
    """Return a node as a finding shows it."""
    parts = {"inputs": list(node.inputs), "outputs": list(node.outputs), "attributes": shown(node.attributes)}
    return {"op": node.op, **{key: part for key, part in parts.items() if part}}


def node_added(where: str, node: Node) -> Finding:
    """Return the finding that a node is only in NEW."""
    return Finding("graph_node_added", where=where, new=node_shown(node))


def node_removed(where: str, node: Node) -> Finding:
    """Return the finding that a node is only in OLD."""
    return Finding("graph_node_removed", where=where, old=node_shown(node))


def node_changed(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Finding:
    """Return the finding that a node has another operator, or other inputs or outputs."""
    return Finding("graph_node_changed", where=where, old=dict(old), new=dict(new))


def attribute_changed(where: str, old: Any, new: Any) -> Finding:
    """Return the finding that an attribute of a node or of the graph is another, or only on one side."""
    return Finding("graph_attribute_changed", where=where, old=_side(old), new=_side(new))


def io_changed(where: str, old: Any, new: Any) -> Finding:
    """Return the finding that an input or output is another, or only on one side."""
    return Finding("graph_io_changed", where=where, old=_side(old), new=_side(new))


def value_changed(where: str, old: Any, new: Any, *, only_told_otherwise: bool) -> Finding:
    """Return the finding that a value between nodes has another type or shape.

    Args:
        where: Its name.
        old: Type and shape in OLD.
        new: Type and shape in NEW.
        only_told_otherwise: Whether both may be true of one value: a symbol here, a number or nothing there.
    """
    level: Any = "info" if only_told_otherwise else "change"
    return Finding("graph_value_changed", where=where, level=level, old=shown(old), new=shown(new))


def values_told_once(n_old: int, n_new: int) -> Finding:
    """Return the finding that types and shapes of values between nodes are told on one side only."""
    return Finding(
        "graph_values_described",
        level="info",
        values={"only_in_old": n_old, "only_in_new": n_new},
        null=0,
        message="types and shapes of values between nodes that one side tells and the other does not",
    )


def renamed(nodes: Sequence[tuple[str, str]], values: Sequence[tuple[str, str]]) -> Finding:
    """Return the finding that nodes or values between them have other names, which changes nothing."""
    examples = [f"{old} -> {new}" for old, new in (*nodes, *values)[:_EXAMPLES]]
    return Finding(
        "graph_names_changed",
        level="info",
        values={"n_nodes": len(nodes), "n_values": len(values), "examples": examples},
        null=0,
        message="other names of nodes or of values between them; names alone change nothing",
    )


def missing(present: Artifact, absent: Artifact, side: str) -> Finding:
    """Return the finding that one side has a graph and the other, by its format, has none."""
    assert present.graph is not None
    return Finding(
        "graph_not_comparable",
        status="not_measurable",
        level="info",
        values={"n_nodes": node_count(present.graph)},
        message=f"{side} alone has a graph; {absent.format} files hold none, so that only the tensors can be compared",
    )


def disappeared(old: Artifact, new: Artifact) -> Finding:
    """Return the finding that one of two files of one format has no graph."""
    sides = [ABSENT if side.graph is None else shown(side.graph) for side in (old, new)]
    return Finding("graph_attribute_changed", where="graph", old=sides[0], new=sides[1])


def foreign(old: Artifact, new: Artifact) -> Finding:
    """Return the finding that two formats name and cut operators in different ways."""
    assert old.graph is not None
    assert new.graph is not None
    return Finding(
        "graph_not_comparable",
        status="not_measurable",
        level="info",
        values={"n_nodes_old": node_count(old.graph), "n_nodes_new": node_count(new.graph)},
        message=f"{old.format} and {new.format} have different operators; to compare the graphs, convert one of the"
        " models to the format of the other",
    )


def _side(value: Any) -> Any:
    return ABSENT if value is ABSENT else shown(value)
