"""One side of a comparison of two bodies: who makes a value, and who takes it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from diffai_compare_graph.plain import key_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from diffai_core.plugin import Graph, Node


class Side:
    """A graph with the connections of its nodes.

    A value that no node makes and that is no input of the graph comes from around it: a tensor, or a value of the
    graph around a body.

    Args:
        graph: The graph.
        outer: The graph around it.
    """

    def __init__(self, graph: Graph, outer: Side | None = None) -> None:
        self.graph = graph
        self.nodes: tuple[Node, ...] = graph.nodes
        self.outer = outer
        self.producers: dict[str, tuple[int, int]] = {}
        self.consumers: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for index, node in enumerate(graph.nodes):
            for slot, name in enumerate(node.outputs):
                self.producers.setdefault(name, (index, slot))
            for slot, name in enumerate(node.inputs):
                self.consumers[name].append((index, slot))
        self._actions: list[Hashable] = []
        self.producers.pop("", None)
        self.consumers.pop("", None)

    @property
    def actions(self) -> list[Hashable]:
        """What each node does: operator and attributes."""
        if not self._actions:
            self._actions = [(node.op, key_of(node.attributes) if node.attributes else None) for node in self.nodes]
        return self._actions

    def is_tensor(self, name: str) -> bool:
        """Whether no node makes the value and it is no input, here or in a graph around."""
        side: Side | None = self
        while side is not None:
            if name in side.producers or name in side.graph.inputs:
                return False
            side = side.outer
        return bool(name)

    def labels(self) -> list[str]:
        """Return what each node is called: its name, or its first output, or its place; each once."""
        found: list[str] = []
        used: set[str] = set()
        for index, node in enumerate(self.nodes):
            label = node.name or next(filter(None, node.outputs), "") or f"{node.op}[{index}]"
            if label in used:
                label = f"{label}[{index}]"
            used.add(label)
            found.append(label)
        return found


def once(names: Iterable[str]) -> dict[str, int]:
    """Return the places of names that are there exactly once; of empty ones none."""
    places: dict[str, int] = {}
    twice: set[str] = {""}
    for index, name in enumerate(names):
        if name in places:
            twice.add(name)
        places[name] = index
    return {name: index for name, index in places.items() if name not in twice}
