"""ML programs: functions of operations, whose constants become tensors and whose rest becomes the graph."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Graph, Node
from diffai_load_coreml.compressed import compressed
from diffai_load_coreml.operations import Block, Operation, entry_of, named_type, read_block
from diffai_load_coreml.plain import Plain
from diffai_load_coreml.tensors import tensor_of
from diffai_load_coreml.values import MilType, plain_of, read_value, stored_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile, Value
    from diffai_load_coreml.blobs import Blobs
    from diffai_load_coreml.collected import Collected
    from diffai_load_coreml.stored import Stored
    from diffai_load_coreml.values import MilValue


class Program:
    """Reads an ML program.

    Args:
        file: The file of the model.
        blobs: The files of its weights.
        collected: Takes its tensors.
        prefix: What stands before the names of its tensors.
    """

    def __init__(self, file: DataFile, blobs: Blobs, collected: Collected, prefix: str) -> None:
        self._file = file
        self._blobs = blobs
        self._collected = collected
        self._prefix = prefix
        self._plain = Plain(file, collected, {}, lists=True)

    def read(self, message: Message) -> tuple[dict[str, Any], Graph]:
        """Return what the program says about itself, and its functions.

        Raises:
            LoadError: If it is damaged.
        """
        said: dict[str, Any] = {}
        functions: dict[str, Graph] = {}
        for field in message.fields():
            if field.number == 2:  # noqa: PLR2004 - functions
                name, entry = entry_of(field)
                if name in functions:
                    raise field.error(f"two functions have the name {name[:80]!r}")
                functions[name] = self._function(name, entry)
            elif field.number == 1:
                said["version"] = field.signed()
            elif field.number == 3:  # noqa: PLR2004 - text
                said["docString"] = field.text()
            elif field.number == 4:  # noqa: PLR2004 - attributes
                name, entry = entry_of(field)
                said.setdefault("attributes", {})[name] = self._said(read_value(entry), name)
            else:
                said[f"field {field.number}"] = self._unknown(field)
        if set(functions) == {"main"}:
            return said, functions["main"]
        nodes = (Node("function", name, attributes={"body": functions[name]}) for name in sorted(functions))
        return said, Graph(tuple(nodes))

    def _unknown(self, field: Field) -> Any:
        self._collected.lost(f"{self._prefix}mlProgram", f"field {field.number} of the program is not known")
        return field.value

    def _function(self, name: str, field: Field) -> Graph:
        inputs: dict[str, MilType] = {}
        blocks: dict[str, Block] = {}
        attributes: dict[str, Any] = {}
        for part in field.message().fields():
            if part.number == 1:
                key, type_ = named_type(part)
                inputs[key] = type_
            elif part.number == 2:  # noqa: PLR2004 - operation set
                attributes["opset"] = part.text()
            elif part.number == 3:  # noqa: PLR2004 - blocks by operation set
                key, entry = entry_of(part)
                blocks[key] = read_block(entry, self._collected)
            elif part.number == 4:  # noqa: PLR2004 - attributes
                key, entry = entry_of(part)
                attributes[key] = self._said(read_value(entry), key)
        prefix = self._prefix if name == "main" else f"{self._prefix}{name}/"
        graphs = {
            key: _Reader(self, f"{prefix}{key}/" if len(blocks) > 1 else prefix, block).graph(inputs)
            for key, block in sorted(blocks.items())
        }
        if len(graphs) == 1:
            (graph,) = graphs.values()
            return Graph(graph.nodes, graph.inputs, graph.outputs, attributes | dict(graph.attributes))
        return Graph(attributes=attributes | graphs)

    def _said(self, value: MilValue, path: str) -> Any:
        return plain_of(value, self._plain, f"{self._prefix}{path}")

    def stored(self, value: MilValue) -> Stored | None:
        """Return where the elements of a constant lie, if they do."""
        return stored_of(value, self._file, self._blobs)

    def said(self, value: MilValue, name: str) -> Any:
        """Return a constant as plain values."""
        return self._said(value, name)

    def add(self, name: str, stored: Stored) -> str:
        """Add a tensor; return its name."""
        return self._collected.add(name, partial(tensor_of, stored))

    def add_compressed(self, name: str, operation: str, parts: Mapping[str, Stored], numbers: Mapping[str, Any]) -> str:
        """Add the tensor that an operation computes from codes; return its name, or nothing if it is none."""
        make = compressed(operation, parts, numbers)
        return "" if make is None else self._collected.add(name, make)


class _Reader:
    """Makes tensors and a graph of one block and the blocks inside it.

    Args:
        program: The program.
        prefix: What stands before the names of tensors.
        block: The block.
    """

    def __init__(self, program: Program, prefix: str, block: Block) -> None:
        self._program = program
        self._prefix = prefix
        self._block = block
        self._constants = {
            op.first_output: value for op in block.all_operations() if (value := op.constant) is not None
        }
        self._users = _users(block)
        self._tensors: dict[str, str] = {}
        self._plain: dict[str, Any] = {}
        for operation in block.all_operations():
            self._take(operation)

    def graph(self, inputs: Mapping[str, MilType]) -> Graph:
        return self._graph(self._block, inputs)

    def _take(self, operation: Operation) -> None:
        """Add the tensors of an operation: of a constant, or of one that computes weights from codes."""
        name = operation.first_output
        value = operation.constant
        if value is not None:
            feeds_codes = self._users[name] and self._users[name] == self._users[name, "constexpr"]
            stored = None if feeds_codes and name not in self._tensors else self._tensor_of(value)
            if stored is not None:
                self._tensors[name] = self._program.add(self._prefix + name, stored)
        elif operation.type.startswith("constexpr_"):
            self._take_compressed(operation)

    def _take_compressed(self, operation: Operation) -> None:
        name = operation.first_output
        parts: dict[str, Stored] = {}
        numbers: dict[str, Any] = {}
        names: list[str] = []
        for key, bound in operation.all_arguments():
            value = self._constants.get(bound) if isinstance(bound, str) else bound
            if value is None:
                break
            names += [bound] if isinstance(bound, str) else []
            stored = self._program.stored(value)
            if stored is not None:
                parts[key] = stored
            if (stored is None or stored.numel <= 64) and key != "name":  # noqa: PLR2004 - a shape or an axis
                numbers[key] = self._program.said(value, name) if value.form != "blob" else self._small(stored)
        else:
            added = self._added(operation, parts, numbers) if len(operation.outputs) == 1 else ""
            if added:
                self._tensors[name] = added
        if name not in self._tensors:
            for constant in names:
                self._keep(constant)

    def _added(self, operation: Operation, parts: dict[str, Stored], numbers: dict[str, Any]) -> str:
        return self._program.add_compressed(self._prefix + operation.first_output, operation.type, parts, numbers)

    def _small(self, stored: Stored | None) -> list[int] | None:
        if stored is None or stored.code not in {"uint32", "int32"}:
            return None
        data = stored.file.read(stored.offset, stored.nbytes)
        return [
            int.from_bytes(data[at : at + 4], "little", signed=stored.code == "int32") for at in range(0, len(data), 4)
        ]

    def _keep(self, name: str) -> None:
        """Make a tensor of a constant that was left to an operation which then was not understood."""
        stored = self._tensor_of(self._constants[name])
        if stored is not None and name not in self._tensors:
            self._tensors[name] = self._program.add(self._prefix + name, stored)

    def _tensor_of(self, value: MilValue) -> Stored | None:
        """Return the elements of a constant that is a tensor: of a file of weights, or numbers of any dimension."""
        if value.form == "blob" or (value.type.shape and value.form in {"float", "double", "bytes"}):
            return self._program.stored(value)
        return None

    def _graph(self, block: Block, inputs: Mapping[str, MilType]) -> Graph:
        types = {name: type_ for operation in block.operations for name, type_ in operation.outputs.items()}
        types.update(inputs)
        return Graph(
            tuple(self._nodes(block)),
            {name: type_.described for name, type_ in inputs.items()},
            {name: _described(types.get(name)) for name in block.outputs},
            {key: self._program.said(value, key) for key, value in block.attributes.items()},
        )

    def _nodes(self, block: Block) -> Iterator[Node]:
        for operation in block.operations:
            name = operation.first_output
            unused = operation.constant is not None and not self._users[name]
            if name in self._tensors or (operation.constant is not None and not unused):
                continue
            yield self._node(operation)

    def _node(self, operation: Operation) -> Node:
        inputs: list[str] = []
        names: list[str] = []
        attributes: dict[str, Any] = {}
        for key, bindings in operation.arguments.items():
            constants = [self._constant_of(bound, operation, key) for bound in bindings]
            if constants and all(constants):
                values = [found[0] for found in constants if found]
                attributes[key] = values[0] if len(values) == 1 else values
                continue
            for index, (bound, found) in enumerate(zip(bindings, constants, strict=True)):
                inputs.append("" if found else self._name_of(bound, operation, key))
                names.append(key)
                attributes.update({f"{key}[{index}]": found[0]} if found else {})
        for key, value in operation.attributes.items():
            if key != "name" or operation.constant is None:
                attributes[key] = self._attribute(operation, key, value)
        attributes.pop("name", None)
        for index, inner in enumerate(operation.blocks):
            attributes[f"block {index}"] = self._graph(inner, inner.inputs)
        if names:
            attributes["arguments"] = names
        return Node(operation.type, operation.first_output, tuple(inputs), tuple(operation.outputs), attributes)

    def _constant_of(self, bound: str | MilValue, operation: Operation, key: str) -> tuple[Any] | tuple[()]:
        """Return the plain value of an argument, alone in a tuple; nothing if it is a tensor or computed."""
        if isinstance(bound, str):
            value = self._constants.get(bound)
            if value is None or bound in self._tensors:
                return ()
            if bound not in self._plain:
                self._plain[bound] = self._program.said(value, bound)
            return (self._plain[bound],)
        if self._tensor_of(bound) is not None:
            return ()
        return (self._program.said(bound, f"{operation.first_output}.{key}"),)

    def _name_of(self, bound: str | MilValue, operation: Operation, key: str) -> str:
        """Return the name of an argument; a constant in its place becomes a tensor of the operation."""
        if isinstance(bound, str):
            return self._tensors.get(bound, bound)
        stored = self._tensor_of(bound)
        assert stored is not None
        return self._program.add(f"{self._prefix}{operation.first_output}.{key}", stored)

    def _attribute(self, operation: Operation, key: str, value: MilValue) -> Any:
        stored = self._tensor_of(value)
        if stored is None:
            return self._program.said(value, f"{operation.first_output}.{key}")
        return {"tensor": self._program.add(f"{self._prefix}{operation.first_output}.{key}", stored)}


def _described(type_: MilType | None) -> Value:
    return (type_ or MilType("", None)).described


def _users(block: Block) -> Counter[Any]:
    """Count who takes each value, and of them the operations that compute weights from codes."""
    users: Counter[Any] = Counter(block.outputs)
    for operation in block.all_operations():
        users.update(name for inner in operation.blocks for name in inner.outputs)
        for bindings in operation.arguments.values():
            for bound in bindings:
                if isinstance(bound, str):
                    users[bound] += 1
                    users[bound, "constexpr"] += operation.type.startswith("constexpr_")
    return users
