"""Plain values of attributes: when they are equal, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Graph, Value

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_SHOWN = 200
"""Longest text, and most elements of a list, that a finding shows."""


def key_of(value: Any) -> Hashable:
    """Return something hashable that is equal for equal values: for NaN too, not for ``1``, ``1.0`` and ``True``."""
    if isinstance(value, _SCALARS):
        return (type(value).__name__, repr(value))
    if isinstance(value, list | tuple):
        return ("list", *map(key_of, value))
    if isinstance(value, Mapping):
        return ("map", *sorted(((str(key), key_of(item)) for key, item in value.items()), key=_first))
    if isinstance(value, Graph):
        nodes = [(node.op, node.inputs, node.outputs, key_of(node.attributes)) for node in value.nodes]
        return ("graph", tuple(nodes), *map(key_of, (value.inputs, value.outputs, value.attributes)))
    if isinstance(value, Value):
        return ("value", value.dtype, value.shape)
    return (type(value).__name__, repr(value))


_SCALARS = (str, int, float)


def _first(item: tuple[str, Hashable]) -> str:
    return item[0]


def same(old: Any, new: Any) -> bool:
    """Whether two values are equal, NaN to NaN and each type only to itself."""
    return old is new or key_of(old) == key_of(new)


def holds_graph(value: Any) -> bool:
    """Whether a value is a graph or holds one."""
    if isinstance(value, Mapping):
        return any(map(holds_graph, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_graph, value))
    return isinstance(value, Graph)


def node_count(value: Any) -> int:
    """Return how many nodes there are in a graph and in the graphs that it holds, those of bodies aside."""
    if isinstance(value, Graph):
        return len(value.nodes) + sum(map(node_count, value.attributes.values()))
    return sum(map(node_count, value.values())) if isinstance(value, dict) else 0


def shown(value: Any) -> Any:
    """Return a value as a finding shows it: plain, and not longer than a person reads.

    Example:
        >>> shown(Value("float32", ("N", None)))
        {'dtype': 'float32', 'shape': ['N', None]}
    """
    if isinstance(value, Value):
        return {"dtype": value.dtype, "shape": None if value.shape is None else list(value.shape)}
    if isinstance(value, Graph):
        return {"nodes": node_count(value)}
    if isinstance(value, Mapping):
        items = list(value.items())
        found = {str(key): shown(item) for key, item in items[:MAX_SHOWN]}
        return found | ({"…": f"{len(items) - MAX_SHOWN:,} more"} if len(items) > MAX_SHOWN else {})
    if isinstance(value, list | tuple):
        more = [f"… {len(value) - MAX_SHOWN:,} more"] if len(value) > MAX_SHOWN else []
        return [*map(shown, value[:MAX_SHOWN]), *more]
    if isinstance(value, str) and len(value) > MAX_SHOWN:
        return f"{value[:MAX_SHOWN]}… ({len(value):,} characters)"
    return value
