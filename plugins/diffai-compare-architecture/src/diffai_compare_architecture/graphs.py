"""What a graph is made of: operators, versions of operator sets, inputs and outputs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import Artifact, Graph

_MOST_NODES = 10_000_000


def operators_of(graph: Graph) -> dict[str, int]:
    """Return how often each operator occurs, bodies of conditions, loops and functions included."""
    counts: Counter[str] = Counter()
    waiting = [graph]
    while waiting and counts.total() < _MOST_NODES:
        current = waiting.pop()
        counts.update(node.op for node in current.nodes)
        waiting += _bodies(current.attributes)
        for node in current.nodes:
            waiting += _bodies(node.attributes)
    return dict(sorted(counts.items()))


def _bodies(value: Any) -> Iterator[Graph]:
    from diffai_core.plugin import Graph

    if isinstance(value, Graph):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _bodies(item)
    elif isinstance(value, (list, tuple)) and not all(isinstance(item, (int, float, str)) for item in value):
        for item in value:
            yield from _bodies(item)


def operator_sets(graph: Graph) -> dict[str, Any]:
    """Return the versions of the operator sets, where the format has such."""
    versions = graph.attributes.get("opset_import")
    return dict(versions) if isinstance(versions, dict) else {}


def signature(graph: Graph) -> dict[str, dict[str, str]]:
    """Return dtype and shape of each input and output, as ``float32[N, 3, 224, 224]``."""
    return {
        direction: {name: f"{value.dtype}{_shape(value.shape)}" for name, value in values.items()}
        for direction, values in (("inputs", graph.inputs), ("outputs", graph.outputs))
    }


def _shape(shape: tuple[int | str | None, ...] | None) -> str:
    return "" if shape is None else f"[{', '.join('?' if length is None else str(length) for length in shape)}]"


def graph_of(artifact: Artifact) -> Graph | None:
    """Return the graph of an artefact if it has nodes."""
    graph = artifact.graph
    return graph if graph is not None and (graph.nodes or any(True for _ in _bodies(graph.attributes))) else None
