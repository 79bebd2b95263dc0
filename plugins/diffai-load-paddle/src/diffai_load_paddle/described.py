"""What a program says about a model: which parameters it has, and its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Graph, Value


class Described(NamedTuple):
    """A program.

    Args:
        parameters: Its parameters, by name.
        graph: Its operators.
        tree: What else it says.
    """

    parameters: Mapping[str, Value]
    graph: Graph
    tree: Mapping[str, Any]
