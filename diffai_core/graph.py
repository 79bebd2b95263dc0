"""The graph of a model: operators, how they are connected, and what they are set to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Value:
    """An input or output of a graph.

    Args:
        dtype: Name of the element type, as the format calls it where the vocabulary has none; empty if not told.
        shape: Length of each dimension: a number, a symbol, or ``None`` where it is open; ``None`` if not told at all.
    """

    dtype: str = ""
    shape: tuple[int | str | None, ...] | None = None


@dataclass(frozen=True)
class Node:
    """One operator.

    Args:
        op: What it computes, with its domain where that is not the standard one: ``Conv``, ``ai.onnx.ml::Scaler``.
        name: Its name; empty where the format has none.
        inputs: Names of the values and tensors it takes, in order; an empty name stands for one left out.
        outputs: Names of the values it gives, in order.
        attributes: What it is set to, as plain values; a :class:`Graph` for a body.
    """

    op: str
    name: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Operators and how they are connected.

    Args:
        nodes: In the order of the file.
        inputs: What goes in, by name; initialised tensors are not inputs.
        outputs: What comes out, by name.
        attributes: What holds for the whole graph, as plain values: versions of operator sets, functions …
    """

    nodes: tuple[Node, ...] = ()
    inputs: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, Value] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
