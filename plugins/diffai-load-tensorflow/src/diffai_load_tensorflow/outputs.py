"""The outputs of nodes, which a graph does not list: those that something is taken from, and the shapes it tells."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Node, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SHAPES = "_output_shapes"
"""Attribute with the shape of each output, which TensorFlow worked out when it saved the graph."""


def node_of(reference: str) -> str:
    """Return the name of the node that ``name``, ``name:1``, ``name:output:0`` or ``^name`` refers to."""
    return reference.removeprefix("^").partition(":")[0]


def with_outputs(nodes: Iterable[Node], more: Iterable[str]) -> tuple[list[Node], dict[str, Value]]:
    """Give each node its outputs, in the words in which nodes and ``more`` refer to them; also return their shapes.

    The plain name stands for the output of a node from which nothing is taken.

    Args:
        nodes: The nodes of a graph or function.
        more: What the function returns.
    """
    nodes = list(nodes)
    taken: dict[str, set[str]] = {}
    for reference in chain((source for node in nodes for source in node.inputs), more):
        taken.setdefault(node_of(reference), set()).add(reference)
    values: dict[str, Value] = {}
    complete = []
    for node in nodes:
        outputs = tuple(sorted(taken.get(node.name, {node.name}), key=_control_last))
        found = _shapes_of(outputs, node.attributes.get(SHAPES))
        values |= found or {}
        attributes = node.attributes if found is None else _without_shapes(node.attributes)
        complete.append(replace(node, outputs=outputs, attributes=attributes))
    return complete, values


def _control_last(reference: str) -> tuple[bool, str]:
    return reference.startswith("^"), reference


def _without_shapes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name != SHAPES}


def _shapes_of(outputs: Iterable[str], shapes: Any) -> dict[str, Value] | None:
    """Return the shapes of outputs; ``None`` if the node does not tell them, or which of several they belong to."""
    if not isinstance(shapes, list):
        return None
    found = {}
    for output in outputs:
        _, _, place = output.partition(":")
        name, _, index = place.rpartition(":")
        number = int(index) if index.isdecimal() and len(index) < 9 else 0  # noqa: PLR2004 - no endless number
        if output.startswith("^") or number >= len(shapes):
            continue
        if name and len(shapes) > 1:  # an output of several, by name
            return None
        shape = shapes[number]
        found[output] = Value("", tuple(shape) if isinstance(shape, list) else None)
    return found
