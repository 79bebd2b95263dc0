"""Programs as PaddlePaddle 2 writes them: blocks of variables and operators in a protobuf message."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import Message

from diffai_core.plugin import Graph, Node, Value
from diffai_load_paddle.described import Described
from diffai_load_paddle.parameters import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_protobuf import Field

    from diffai_core.plugin import DataFile

MAX_VALUES = 5_000_000
"""Numbers and texts of attributes that are held."""

_DENSE, _MAX_TEXT = 7, 1 << 20
_MADE_BY_THE_PRODUCER = frozenset(
    {"op_callstack", "op_namescope", "op_role", "op_role_var", "op_device", "with_quant_attr"}
)
"""Attributes that tell where in the producer's program an operator was made, and not what it computes."""


class _Variable(NamedTuple):
    name: str
    value: Value
    is_parameter: bool


class _Operator(NamedTuple):
    type: str
    inputs: dict[str, list[str]]
    outputs: dict[str, list[str]]
    attributes: dict[str, Any]
    blocks: dict[str, list[int]]


class _Block(NamedTuple):
    variables: dict[str, _Variable]
    operators: list[_Operator]


def read_program(file: DataFile) -> Described:
    """Read a ``.pdmodel``.

    Raises:
        LoadError: If it is damaged or beyond the bounds.
    """
    reader = _Reader(file)
    message = Message.in_file(file)
    blocks: list[_Block] = []
    tree: dict[str, Any] = {}
    for field in message.fields():
        if field.number == 1:
            blocks.append(reader.block(field.message()))
        elif field.number == 4:  # noqa: PLR2004 - version
            tree["version"] = next((part.signed() for part in field.message().fields() if part.number == 1), 0)
        elif field.number == 5:  # noqa: PLR2004 - versions of operators
            tree["op_versions"] = dict(sorted(reader.versions(field.message())))
    if not blocks or "version" not in tree:
        raise message.error("is no program of PaddlePaddle, or ends too early: it has no blocks, or no version")
    parameters = {
        name: variable.value for block in blocks for name, variable in block.variables.items() if variable.is_parameter
    }
    return Described(parameters, _Graphs(blocks).graph(0), tree)


class _Reader:
    """Reads the messages of a program.

    Args:
        file: The file.
    """

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self._left = MAX_VALUES

    def _spend(self, field: Field) -> None:
        self._left -= 1
        if self._left < 0:
            raise field.error(f"holds more than {MAX_VALUES:,} values")

    def versions(self, message: Message) -> Iterator[tuple[str, int]]:
        """Yield names and versions of operators."""
        for pair in message.fields():
            if pair.number == 1:
                parts = {part.number: part for part in pair.message().fields()}
                version = 0
                for field in parts[2].message().fields() if 2 in parts else ():  # noqa: PLR2004 - the version
                    version = field.signed() if field.number == 1 else version
                yield parts[1].text() if 1 in parts else "", version

    def block(self, message: Message) -> _Block:
        """Return a block."""
        block = _Block({}, [])
        for field in message.fields():
            self._spend(field)
            if field.number == 3:  # noqa: PLR2004 - variables
                variable = self._variable(field)
                if variable.name in block.variables:
                    raise field.error(f"two variables have the name {variable.name[:80]!r}")
                block.variables[variable.name] = variable
            elif field.number == 4:  # noqa: PLR2004 - operators
                block.operators.append(self._operator(field.message()))
        return block

    def _variable(self, field: Field) -> _Variable:
        name, value, is_dense, is_persistable = "", Value(), False, False
        for part in field.message().fields():
            self._spend(part)
            if part.number == 1:
                name = part.text()
            elif part.number == 2:  # noqa: PLR2004 - type
                is_dense, value = _type(part.message())
            elif part.number == 3:  # noqa: PLR2004 - whether it is kept
                is_persistable = part.boolean()
        return _Variable(name, value, is_dense and is_persistable)

    def _operator(self, message: Message) -> _Operator:
        operator = _Operator("", {}, {}, {}, {})
        for field in message.fields():
            self._spend(field)
            if field.number == 3:  # noqa: PLR2004 - type
                operator = operator._replace(type=field.text())
            elif field.number in {1, 2}:
                name, arguments = self._arguments(field.message())
                (operator.inputs if field.number == 1 else operator.outputs)[name] = arguments
            elif field.number == 4:  # noqa: PLR2004 - attributes
                self._attribute(field.message(), operator)
        return operator

    def _arguments(self, message: Message) -> tuple[str, list[str]]:
        name = ""
        arguments: list[str] = []
        for field in message.fields():
            self._spend(field)
            if field.number == 1:
                name = field.text()
            elif field.number == 2:  # noqa: PLR2004 - arguments
                arguments.append(field.text())
        return name, arguments

    def _attribute(self, message: Message, operator: _Operator) -> None:
        name, kind = "", -1
        values: list[Any] = []
        for field in message.fields():
            self._spend(field)
            if field.number == 1:
                name = field.text()
            elif field.number == 2:  # noqa: PLR2004 - type
                kind = field.unsigned()
            elif name not in _MADE_BY_THE_PRODUCER:
                values += self._numbers(field)
        if name in _MADE_BY_THE_PRODUCER:
            return
        if kind in _BLOCKS:
            operator.blocks[name] = [value for value in values if isinstance(value, int)]
        else:
            operator.attributes[name] = values if kind in _LISTS or len(values) != 1 else values[0]

    def _numbers(self, field: Field) -> Iterator[Any]:
        for value in _values(field):
            self._spend(field)
            yield value


def _values(field: Field) -> Iterator[Any]:
    """Yield what a field of an attribute holds."""
    if field.number in {3, 6, 12, 13, 14, 15}:
        yield from field.all_signed()
    elif field.number in {4, 7}:
        yield from field.all_float32()
    elif field.number in {16, 19}:
        yield from field.all_float64()
    elif field.number in {10, 11}:
        yield from map(bool, field.all_unsigned())
    elif field.number in {5, 8, 17, 18}:
        yield field.text(_MAX_TEXT)
    else:  # a scalar
        for part in field.message().fields():
            if part.number in {2, 3}:
                yield part.signed() if part.number == 3 else part.boolean()  # noqa: PLR2004 - a whole number
            elif part.number == 4:  # noqa: PLR2004 - a floating-point number
                yield part.float64()
            elif part.number == 5:  # noqa: PLR2004 - a complex number
                numbers = {number.number: number.float64() for number in part.message().fields()}
                yield [numbers.get(1, 0.0), numbers.get(2, 0.0)]


_LISTS = frozenset({3, 4, 5, 7, 11, 12, 14, 17})
"""Types of attributes that hold several values."""
_BLOCKS = frozenset({8, 10})


def _type(message: Message) -> tuple[bool, Value]:
    """Return whether a variable is a dense tensor, and its type and shape."""
    kind, value = -1, Value()
    for field in message.fields():
        if field.number == 1:
            kind = field.unsigned()
        elif field.number == 3:  # noqa: PLR2004 - of a dense tensor
            tensors = (part.message() for part in field.message().fields() if part.number == 1)
            value = next((_described(tensor) for tensor in tensors), value)
    return kind == _DENSE, value


def _described(message: Message) -> Value:
    name = ""
    dims: list[int | None] = []
    for field in message.fields():
        if field.number == 1:
            number = field.unsigned()
            name = TYPES[number].name if number in TYPES else str(number)
        elif field.number == 2:  # noqa: PLR2004 - dimensions
            dims += [None if length < 0 else length for length in field.all_signed()]
    return Value(name, tuple(dims))


class _Graphs:
    """Makes graphs of blocks; a block is the body of one operator at most, and of one before it.

    Args:
        blocks: The blocks.
    """

    def __init__(self, blocks: list[_Block]) -> None:
        self._blocks = blocks
        uses = (
            number
            for block in blocks
            for operator in block.operators
            for numbers in operator.blocks.values()
            for number in numbers
        )
        self._n_uses = Counter(uses)

    def graph(self, number: int) -> Graph:
        block = self._blocks[number]
        inputs: dict[str, Value] = {}
        outputs: dict[str, Value] = {}
        nodes: list[Node] = []
        for operator in block.operators:
            if operator.type == "feed":
                inputs.update(_named(block, operator.outputs))
            elif operator.type == "fetch":
                outputs.update(_named(block, operator.inputs))
            else:
                nodes.append(self._node(operator, number))
        return Graph(tuple(nodes), inputs, outputs)

    def _node(self, operator: _Operator, number: int) -> Node:
        attributes = dict(operator.attributes)
        for name, numbers in operator.blocks.items():
            bodies = [self._body(inner, number) for inner in numbers]
            attributes[name] = bodies[0] if len(bodies) == 1 else bodies
        sides = [sorted(side.items()) for side in (operator.inputs, operator.outputs)]
        names = [[key for key, arguments in side for _ in arguments] for side in sides]
        inputs, outputs = (tuple(name for _, arguments in side for name in arguments) for side in sides)
        attributes["arguments"] = names[0]
        return Node(operator.type, "", inputs, outputs, dict(sorted(attributes.items())))

    def _body(self, inner: int, outer: int) -> Graph | int:
        return self.graph(inner) if outer < inner < len(self._blocks) and self._n_uses[inner] == 1 else inner


def _named(block: _Block, ends: dict[str, list[str]]) -> dict[str, Value]:
    holders = {"feed", "fetch"}
    names = (name for arguments in ends.values() for name in arguments if name not in holders)
    return {name: block.variables[name].value if name in block.variables else Value() for name in names}
