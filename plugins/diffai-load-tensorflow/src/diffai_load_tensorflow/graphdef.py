"""A graph: nodes with their attributes, functions, and the constants among the nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Foreign, Graph, Node, NotCompared, TensorRef, Value, shown
from diffai_load_tensorflow.attributes import MAX_PLAIN_BYTES, Context, entry_of, may_be, read_attributes
from diffai_load_tensorflow.outputs import node_of, with_outputs
from diffai_load_tensorflow.tensor_proto import constant_tensor, expanded_bytes, read_constant, repeated, texts_of
from diffai_load_tensorflow.types import STRING, item_bytes, type_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile
    from diffai_load_tensorflow.tensor_proto import Constant

_NODE, _LIBRARY, _VERSION, _VERSIONS = 1, 2, 3, 4
_TENSOR = 8
_NAME, _OP, _INPUT, _DEVICE, _ATTRIBUTE = range(1, 6)
_SIGNATURE, _BODY, _RETURNS, _FUNCTION_ATTRIBUTE, _CONTROL_RETURNS = 1, 3, 4, 5, 6
_FUNCTION, _GRADIENT = 1, 2
MAX_NODES = 1_000_000
MAX_ATTRIBUTES = 8_000_000
MAX_EXPANDED = 256 << 20
"""Bytes of a file that are elements repeated to the end of their constants; more of it are entries of the tree."""
CALLS_OUT = frozenset(
    {"PyFunc", "EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile", "MatchingFiles", "LoadLibrary"}
)
"""Operators that call Python code, or read or write files that the graph names."""


@dataclass
class GraphContents:
    """What is found in graphs, node by node.

    Args:
        file: The file they are in.
        tensors: Constants by name.
        strings: Constants of texts by name.
        constants: Constants that are too large to be written out, as plain values.
        foreign: What it calls outside.
        not_readable: What can be none of these.
        n_nodes: Nodes so far.
        n_attributes: Their attributes so far.
        n_expanded: Bytes so far that are repeated elements.
        cache: Short attributes by their bytes.
    """

    file: DataFile
    tensors: dict[str, TensorRef] = field(default_factory=dict)
    strings: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    foreign: list[Foreign] = field(default_factory=list)
    not_readable: list[NotCompared] = field(default_factory=list)
    n_nodes: int = 0
    n_attributes: int = 0
    n_expanded: int = 0
    cache: dict[bytes, tuple[str, Any]] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        """Where attributes are read from."""
        return Context(self.file, self.cache)

    def tree(self) -> dict[str, Any]:
        """Return the constants that are no tensors."""
        found = {"strings": self.strings, "constants": self.constants}
        return {key: value for key, value in found.items() if value}


def read_graph(message: Message, contents: GraphContents, prefix: str = "") -> Graph:
    """Read a graph and its functions; constants go to ``contents``.

    Args:
        message: The graph.
        contents: Takes what is found.
        prefix: What stands before the names of its constants.

    Raises:
        LoadError: If it is damaged.
    """
    nodes: list[Node] = []
    attributes: dict[str, Any] = {}
    for part in message.fields():
        if part.number == _NODE:
            nodes.append(_node(part.message(), contents, prefix, is_main=True))
        elif part.number == _LIBRARY:
            attributes |= _library(part.message(), contents, prefix)
        elif part.number == _VERSIONS:
            attributes["versions"] = _versions(part.message())
        elif part.number == _VERSION:
            attributes["version"] = part.signed()
    inputs = {node.name: _placeholder(node) for node in nodes if node.op in {"Placeholder", "PlaceholderV2"}}
    outputs = _loose_ends(nodes)
    nodes, values = with_outputs(nodes, ())
    return Graph(tuple(nodes), inputs, outputs, attributes | ({"values": values} if values else {}))


def _versions(message: Message) -> dict[str, int]:
    names = {1: "producer", 2: "min_consumer"}
    return {names[part.number]: part.signed() for part in message.fields() if part.number in names}


def _placeholder(node: Node) -> Value:
    shape = node.attributes.get("shape")
    known = tuple(shape) if isinstance(shape, list) else None
    return Value(str(node.attributes.get("dtype", "")), known)


def _loose_ends(nodes: list[Node]) -> dict[str, Value]:
    """Return the nodes that no other node takes anything from."""
    used = {node_of(source) for node in nodes for source in node.inputs}
    ends = (node for node in nodes if node.name not in used and node.op not in {"NoOp", "Const", "Placeholder"})
    return {node.name: Value(str(node.attributes.get("T", ""))) for node in ends}


def _node(message: Message, contents: GraphContents, prefix: str, *, is_main: bool) -> Node:
    contents.n_nodes += 1
    if contents.n_nodes > MAX_NODES:
        raise message.error(f"more than {MAX_NODES:,} nodes")
    texts = {_NAME: "", _OP: "", _DEVICE: ""}
    inputs: list[str] = []
    entries: list[Field] = []
    for part in message.fields():
        if part.number in texts:
            texts[part.number] = part.text()
        elif part.number == _INPUT:
            inputs.append(part.text())
        elif part.number == _ATTRIBUTE:
            entries.append(part)
            contents.n_attributes += 1
            if contents.n_attributes > MAX_ATTRIBUTES:
                raise part.error(f"more than {MAX_ATTRIBUTES:,} attributes")
    name, op = texts[_NAME], texts[_OP]
    if op in CALLS_OUT:
        contents.foreign.append(Foreign(f"tensorflow.raw_ops.{op}", contents.file.name, message.start))
    attributes: Mapping[str, Any]
    if op == "Const":
        attributes = _constant_attributes(entries, contents, f"{prefix}{name}", is_main=is_main)
    else:
        attributes = read_attributes(entries, contents.context)
    if texts[_DEVICE]:
        attributes = {**attributes, "device": texts[_DEVICE]}
    return Node(op, name, tuple(inputs), (name,), attributes)


def _constant_attributes(entries: list[Field], contents: GraphContents, name: str, *, is_main: bool) -> dict[str, Any]:
    """Return the attributes of a constant; its elements become a tensor if they are many, or it is in no function."""
    others = []
    for entry in entries:
        if not may_be(entry, "value"):
            others.append(entry)
            continue
        key, value = entry_of(entry)
        tensor = next((part for part in value.fields() if part.number == _TENSOR), None) if value else None
        if key != "value" or tensor is None:
            others.append(entry)
            continue
        constant = read_constant(tensor.message(), contents.file)
        kind = constant.dtype
        if is_main or (kind is not None and constant.numel * item_bytes(kind) > MAX_PLAIN_BYTES):
            _add_constant(contents, name, constant)
        else:
            others.append(entry)
    return read_attributes(others, contents.context)


def _add_constant(contents: GraphContents, name: str, constant: Constant) -> None:
    if name in contents.tensors or name in contents.strings or name in contents.constants:
        raise constant.message.error(f"there are two nodes called {shown(name)}")
    if constant.type == STRING:
        texts = texts_of(constant)
        contents.strings[name] = {"shape": list(constant.shape), "values": texts} if constant.shape else texts[-1:]
    elif constant.dtype is None:
        reason = f"a constant of type {type_name(constant.type)}, which this loader cannot read"
        contents.not_readable.append(NotCompared(name, reason))
    elif contents.n_expanded + (more := expanded_bytes(constant)) > MAX_EXPANDED:
        contents.constants[name] = repeated(constant)
    else:
        contents.n_expanded += more
        contents.tensors[name] = constant_tensor(constant, name)


def _library(message: Message, contents: GraphContents, prefix: str) -> dict[str, Any]:
    functions: dict[str, Any] = {}
    gradients: dict[str, str] = {}
    for part in message.fields():
        if part.number == _FUNCTION:
            name, graph = _function(part.message(), contents, prefix)
            functions[name] = graph
        elif part.number == _GRADIENT:
            texts = {sub.number: sub.text() for sub in part.message().fields()}
            gradients[texts.get(1, "")] = texts.get(2, "")
    found = {"functions": functions, "gradients": gradients}
    return {key: value for key, value in found.items() if value}


def _function(message: Message, contents: GraphContents, prefix: str) -> tuple[str, Graph]:
    parts: dict[int, list[Field]] = {}
    for part in message.fields():
        parts.setdefault(part.number, []).append(part)
    name, inputs, outputs = _signature(parts.get(_SIGNATURE, []))
    nodes = [_node(part.message(), contents, f"{prefix}{name}/", is_main=False) for part in parts.get(_BODY, [])]
    attributes: dict[str, Any] = read_attributes(parts.get(_FUNCTION_ATTRIBUTE, []), contents.context)
    for number, key in ((_RETURNS, "returns"), (_CONTROL_RETURNS, "control_returns")):
        found = dict(sorted(_text_entry(part) for part in parts.get(number, [])))
        attributes |= {key: found} if found else {}
    returned = attributes.get("returns", {})
    ends = {returned.get(argument, argument): value for argument, value in outputs.items()}
    nodes, values = with_outputs(nodes, returned.values())
    return name, Graph(tuple(nodes), inputs, ends, attributes | ({"values": values} if values else {}))


def _text_entry(part: Field) -> tuple[str, str]:
    texts = {sub.number: sub.text() for sub in part.message().fields()}
    return texts.get(1, ""), texts.get(2, "")


def _signature(fields: list[Field]) -> tuple[str, dict[str, Value], dict[str, Value]]:
    """Return name, inputs and outputs of a function."""
    name = ""
    arguments: dict[int, dict[str, Value]] = {2: {}, 3: {}}
    for part in (sub for outer in fields for sub in outer.message().fields()):
        if part.number == 1:
            name = part.text()
        elif part.number in arguments:
            argument, number = "", 0
            for sub in part.message().fields():
                if sub.number == 1:
                    argument = sub.text()
                elif sub.number == 3:  # noqa: PLR2004 - type
                    number = sub.unsigned()
            arguments[part.number][argument] = Value(type_name(number) if number else "")
    return name, arguments[2], arguments[3]
