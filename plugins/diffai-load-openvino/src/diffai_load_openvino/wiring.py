"""How the layers of one graph are connected and what they are called."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_load_openvino.document import Layer, Net

End = tuple[int, int]
"""Number of a layer and number of one of its ports."""


class Wiring:
    """Who gives what to whom in one graph.

    Args:
        net: The graph.

    Attributes:
        layers: Layers by number.
        names: A name for each layer by its number, unlike any other in the graph.
    """

    def __init__(self, net: Net) -> None:
        self.layers = {layer.number: layer for layer in net.layers}
        self.names = _unique_names(net)
        self._sources = {edge.target: edge.source for edge in net.edges}
        self._takers: defaultdict[int, list[End]] = defaultdict(list)
        for edge in net.edges:
            self._takers[edge.source[0]].append(edge.target)

    def source(self, layer: Layer, index: int) -> End | None:
        """Return layer and port that give input ``index`` of ``layer``; ``None`` if there is no such input."""
        if index >= len(layer.inputs):
            return None
        return self._sources.get((layer.number, layer.inputs[index].number))

    def giver(self, layer: Layer, index: int) -> Layer | None:
        """Return the layer that gives input ``index`` of ``layer``, if there is one."""
        end = self.source(layer, index)
        return None if end is None else self.layers[end[0]]

    def only_taker(self, layer: Layer) -> Layer | None:
        """Return the one layer that takes what ``layer`` gives; ``None`` if there are several or none."""
        takers = self._takers[layer.number]
        return self.layers[takers[0][0]] if len(takers) == 1 else None

    def value_name(self, end: End) -> str:
        """Return the name of what a port gives: of its layer, and which of several outputs."""
        outputs = self.layers[end[0]].outputs
        name = self.names[end[0]]
        if len(outputs) == 1:
            return name
        return f"{name}:{[port.number for port in outputs].index(end[1])}"


def _unique_names(net: Net) -> dict[int, str]:
    """Return names by number; OpenVINO does not mind layers of one name, which get the count of the name behind it."""
    seen: defaultdict[str, int] = defaultdict(int)
    taken = {layer.name for layer in net.layers}
    names: dict[int, str] = {}
    for layer in net.layers:
        seen[layer.name] += 1
        name = layer.name
        while seen[layer.name] > 1 and name in taken:
            name = f"{layer.name}#{seen[layer.name]}"
            seen[layer.name] += name in taken
        taken.add(name)
        names[layer.number] = name
    return names
