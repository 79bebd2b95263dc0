"""Graphs: nodes with their attributes and bodies, what goes in and out, and the tensors that lie in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Graph, Node, Value
from diffai_load_onnx.attributes import Found, Surroundings, as_tensor, attribute_of, plain_value
from diffai_load_onnx.contents import Scope, Use
from diffai_load_onnx.quantization import dequantizing
from diffai_load_onnx.schema import operator_name
from diffai_load_onnx.types import value_of

if TYPE_CHECKING:
    from diffai_lib_protobuf import Field, Message

    from diffai_load_onnx.contents import Contents

_NODE, _NAME, _INITIALIZER, _DOC, _INPUT, _OUTPUT, _VALUE_INFO, _ANNOTATION, _SPARSE, _METADATA = (
    *(1, 2, 5, 10, 11, 12, 13, 14, 15, 16),
)
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OP, _ATTRIBUTE, _NODE_DOC, _DOMAIN, _OVERLOAD, _NODE_METADATA, _DEVICES = (
    *(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
)
_KEY, _VALUE = 1, 2
_TENSOR_VALUE, _SPARSE_VALUE = 5, 22

_SCALARS = {"value_float": "float32", "value_int": "int64"}
_LISTS = {"value_floats": "float32", "value_ints": "int64"}
_TEXTS = ("value_string", "value_strings")


@dataclass
class _Parts:
    """A GraphProto or FunctionProto, taken apart."""

    nodes: list[Field] = field(default_factory=list)
    inputs: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


def graph_of(message: Message, contents: Contents, scope: Scope) -> Graph:
    """Return the graph of a GraphProto; its tensors go into ``contents``.

    Args:
        message: The GraphProto.
        contents: Takes what is no graph.
        scope: Its scope, new.

    Raises:
        LoadError: If it is damaged.
    """
    parts = _Parts()
    where = scope.path.removesuffix("/") or "graph"
    for found in message.fields():
        number = found.number
        if number == _NODE:
            parts.nodes.append(found)
            contents.budget.take(found)
        elif number == _INITIALIZER:
            contents.add_tensor(found.message(), scope)
        elif number in _VALUES:
            contents.budget.take(found)
            name, value = value_of(found.message(), contents, scope.path)
            getattr(parts, _VALUES[number])[name] = value
        elif number == _SPARSE:
            contents.add_sparse(found.message(), scope)
        elif number == _ANNOTATION:
            _add_annotation(found.message(), contents, scope)
        elif number == _NAME:
            if not scope.path:  # that of a body says nothing
                parts.attributes["name"] = contents.budget.text(found)
        elif number in {_DOC, _METADATA}:
            contents.add_note(where, found, is_doc=number == _DOC)
        else:
            contents.add_unknown(found, "graph")
    return _assembled(parts, contents, scope)


_VALUES = {_INPUT: "inputs", _OUTPUT: "outputs", _VALUE_INFO: "values"}


def _assembled(parts: _Parts, contents: Contents, scope: Scope) -> Graph:
    nodes = tuple(_nodes(parts.nodes, contents, scope))
    if parts.values:
        parts.attributes["values"] = parts.values
    inputs = {name: value for name, value in parts.inputs.items() if name not in scope.keys}
    return Graph(nodes, inputs, parts.outputs, parts.attributes)


def _add_annotation(message: Message, contents: Contents, scope: Scope) -> None:
    name, entries = "", {}
    for found in message.fields():
        if found.number == _KEY:
            name = contents.budget.name(found)
        elif found.number == _VALUE:
            key, value = contents.entry(found)
            entries[key] = value
        else:
            contents.add_unknown(found, "quantization annotation")
    contents.notes.setdefault(f"{scope.path}{name}", {})["quantization_annotation"] = entries


@dataclass
class _RawNode:
    """A NodeProto, taken apart."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    attributes: list[Field] = field(default_factory=list)
    notes: list[Field] = field(default_factory=list)

    @property
    def op(self) -> str:
        return operator_name(self.names.get(_DOMAIN, ""), self.names.get(_OP, ""), self.names.get(_OVERLOAD, ""))

    @property
    def name(self) -> str:
        return self.names.get(_NODE_NAME, "")


def _nodes(fields: list[Field], contents: Contents, scope: Scope) -> list[Node]:
    """Return the nodes; constants become tensors and are none."""
    nodes = []
    used: set[str] = set()
    for index, found in enumerate(fields):
        raw = _raw_node(found.message(), contents)
        label = _label(raw, index, used)
        for note in raw.notes:
            _add_note(note, contents, f"{scope.path}{label}")
        attributes = [attribute_of(one.message(), contents) for one in raw.attributes]
        for one in attributes:
            if one.doc is not None:
                contents.add_note(f"{scope.path}{label}.{one.name}", one.doc, is_doc=True)
        if raw.op == "Constant" and _add_constant(raw, attributes, contents, scope):
            continue
        values = {one.name: _value(one, contents, scope, label) for one in attributes}
        node = Node(raw.op, raw.name, tuple(raw.inputs), tuple(raw.outputs), values)
        if node.outputs:
            use = Use(scope, node.inputs, node.outputs[0], values)
            contents.uses.append(use)
            contents.dequantized += dequantizing(node.op, use)
        nodes.append(node)
    return nodes


def _raw_node(message: Message, contents: Contents) -> _RawNode:
    raw = _RawNode()
    for found in message.fields():
        number = found.number
        if number == _NODE_INPUT:
            raw.inputs.append(contents.budget.name(found))
        elif number == _NODE_OUTPUT:
            raw.outputs.append(contents.budget.name(found))
        elif number in {_NODE_NAME, _OP, _DOMAIN, _OVERLOAD}:
            raw.names[number] = contents.budget.name(found)
        elif number == _ATTRIBUTE:
            contents.budget.take(found)
            raw.attributes.append(found)
        elif number in {_NODE_DOC, _NODE_METADATA, _DEVICES}:
            contents.budget.take(found)
            raw.notes.append(found)
        else:
            contents.add_unknown(found, "node")
    return raw


def _label(raw: _RawNode, index: int, used: set[str]) -> str:
    """Return what a node is called where its name must be unique: in the keys of its tensors and notes."""
    label = raw.name or next((name for name in raw.outputs if name), f"{raw.op}[{index}]")
    if label in used:
        label = f"{label}[{index}]"
    used.add(label)
    return label


def _add_note(note: Field, contents: Contents, where: str) -> None:
    if note.number == _DEVICES:
        devices = contents.notes.setdefault(where, {}).setdefault("device_configurations", [])
        devices.append(contents.budget.digest(note.message()))
    else:
        contents.add_note(where, note, is_doc=note.number == _NODE_DOC)


def _value(found: Found, contents: Contents, scope: Scope, label: str) -> Any:
    def read_graph(message: Message, name: str) -> Graph:
        return graph_of(message, contents, Scope(f"{scope.path}{name}/", scope))

    around = Surroundings(contents, scope, f"{label}.{found.name}", contents.file, read_graph)
    return plain_value(found, around)


def _add_constant(raw: _RawNode, attributes: list[Found], contents: Contents, scope: Scope) -> bool:
    """Add what a Constant gives as a tensor under the name of that; return whether there was such a thing."""
    if len(attributes) != 1 or len(raw.outputs) != 1 or attributes[0].refers_to or attributes[0].values is None:
        return False
    found, name = attributes[0], raw.outputs[0]
    if name in scope.keys:
        raise found.message.error(f"the graph gives two values the name {name[:80]!r}")
    if found.name == "value" and found.kind == _TENSOR_VALUE:
        contents.add_tensor(found.first.message(), scope, name)
    elif found.name == "sparse_value" and found.kind == _SPARSE_VALUE:
        contents.add_sparse(found.first.message(), scope, name)
    elif found.name in _SCALARS or found.name in _LISTS:
        scalar = found.name in _SCALARS
        dtype = _SCALARS[found.name] if scalar else _LISTS[found.name]
        contents.add_plain(as_tensor(found, contents.file, dtype, scalar=scalar), scope, name)
    elif found.name in _TEXTS:
        texts = [contents.budget.text(part) for part in found.parts()]
        shape = [] if found.name == _TEXTS[0] else [len(texts)]
        contents.add_strings(scope, name, {"shape": shape, "values": texts})
    else:
        return False
    return True


def function_of(message: Message, contents: Contents) -> tuple[str, Graph]:
    """Return name and body of a FunctionProto; its tensors go into ``contents``.

    Raises:
        LoadError: If it is damaged.
    """
    fields = message.by_number(MAX_FUNCTION_FIELDS)
    texts = {
        key: contents.budget.name(fields[number][-1]) for key, number in _FUNCTION_NAME.items() if number in fields
    }
    name = operator_name(texts.get("domain", ""), texts.get("name", ""), texts.get("overload", ""))
    scope = Scope(f"{name}/")
    inputs, outputs, declared = ([contents.budget.name(one) for one in fields.get(n, ())] for n in (4, 5, 6))
    parts = _Parts(fields.get(7, []), dict.fromkeys(inputs, Value()), dict.fromkeys(outputs, Value()))
    defaults = [attribute_of(found.message(), contents) for found in fields.get(11, ())]
    parts.values = dict(value_of(found.message(), contents, scope.path) for found in fields.get(12, ()))
    parts.attributes = {
        "attributes": declared,
        "defaults": {one.name: _value(one, contents, scope, "defaults") for one in defaults},
        "opset_import": dict(opset_of(found.message(), contents) for found in fields.get(9, ())),
    }
    for found in fields.get(8, []):
        contents.add_note(name, found, is_doc=True)
    for found in fields.get(14, []):
        contents.add_note(name, found, is_doc=False)
    for number in fields.keys() - _FUNCTION_FIELDS:
        contents.add_unknown(fields[number][0], "function")
    return name, _assembled(parts, contents, scope)


_FUNCTION_NAME = {"name": 1, "domain": 10, "overload": 13}
_FUNCTION_FIELDS = frozenset({1, *range(4, 15)})
MAX_FUNCTION_FIELDS = 1 << 20
"""Most nodes, inputs and other fields of one function."""


def opset_of(message: Message, contents: Contents) -> tuple[str, int]:
    """Return domain and version of an OperatorSetIdProto.

    Raises:
        LoadError: If it is damaged.
    """
    domain, version = "", 0
    for found in message.fields():
        if found.number == _KEY:
            domain = contents.budget.name(found)
        elif found.number == _VALUE:
            version = found.signed()
        else:
            contents.add_unknown(found, "operator set")
    return domain or "ai.onnx", version
