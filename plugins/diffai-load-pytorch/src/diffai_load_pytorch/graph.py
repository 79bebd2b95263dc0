"""The graph of an exported program."""

from __future__ import annotations

from typing import Any

from diffai_core.plugin import Graph, Node, Value
from diffai_load_pytorch.dtypes import EXPORTED

_MAX_NESTED = 32
_TENSORS = ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float", "as_custom_obj")


def graph_of(graph: Any, depth: int = _MAX_NESTED) -> Graph:
    """Return the graph that JSON describes, without the places of the code that it was traced from.

    Raises:
        ValueError: If graphs are nested too deeply.
        TypeError: If it is no graph.
        KeyError: If something is missing.
    """
    if not depth:
        raise ValueError("graphs are nested too deeply")
    values = {name: _value(meta) for name, meta in graph.get("tensor_values", {}).items()}
    return Graph(
        nodes=tuple(_node(node, depth) for node in graph["nodes"]),
        inputs={name: values.get(name, Value()) for arg in graph["inputs"] for name in _names(arg)},
        outputs={name: values.get(name, Value()) for arg in graph["outputs"] for name in _names(arg)},
    )


def _node(node: Any, depth: int) -> Node:
    inputs: list[str] = []
    attributes: dict[str, Any] = {}
    for entry in node["inputs"]:
        names = _names(entry["arg"])
        inputs.extend(names)
        if not names:
            attributes[str(entry["name"])] = _plain(entry["arg"], depth)
    outputs = tuple(name for arg in node["outputs"] for name in _names(arg))
    return Node(
        str(node["target"]), str(node.get("name") or next(iter(outputs), "")), tuple(inputs), outputs, attributes
    )


def _names(arg: Any) -> list[str]:
    """Return the names of the tensors and symbols that an argument refers to."""
    (kind, value), *_ = arg.items()
    if kind in _TENSORS and isinstance(value, dict):
        name = value.get("name", value.get("as_name"))
        return [str(name)] if name is not None else []
    if kind == "as_tensors":
        return [str(item["name"]) for item in value]
    if kind == "as_optional_tensors":
        return [str(item["as_tensor"]["name"]) if "as_tensor" in item else "" for item in value]
    return []


def _plain(arg: Any, depth: int) -> Any:
    (kind, value), *_ = arg.items()
    if kind == "as_none":
        return None
    if kind == "as_graph":
        return graph_of(value["graph"], depth - 1)
    return value


def _value(meta: Any) -> Value:
    kind = EXPORTED.get(meta.get("dtype"))
    return Value(kind.name if kind else "", tuple(_length(size) for size in meta.get("sizes", ())))


def _length(size: Any) -> int | str | None:
    if "as_int" in size:
        return int(size["as_int"])
    symbol = size.get("as_expr", {})
    return str(symbol.get("expr_str", "")) or None
