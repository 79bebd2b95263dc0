"""Operations and blocks of an ML program, as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_load_coreml.values import MilType, read_type, read_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_protobuf import Field

    from diffai_load_coreml.collected import Collected
    from diffai_load_coreml.values import MilValue

_NAME, _TYPE = 1, 2


class Operation(NamedTuple):
    """An operation: its arguments by name, each a list of names of values or of constants."""

    type: str
    arguments: dict[str, list[str | MilValue]]
    outputs: dict[str, MilType]
    blocks: tuple[Block, ...]
    attributes: dict[str, MilValue]
    field: Field

    @property
    def constant(self) -> MilValue | None:
        """The value of a ``const``."""
        return self.attributes.get("val") if self.type == "const" and len(self.outputs) == 1 else None

    def all_arguments(self) -> Iterator[tuple[str, str | MilValue]]:
        """Yield names and what is bound to them, attributes last."""
        for key, bindings in self.arguments.items():
            for bound in bindings:
                yield key, bound
        yield from self.attributes.items()

    @property
    def first_output(self) -> str:
        """The name of what it gives, or of the first of several."""
        return next(iter(self.outputs), self.type)


class Block(NamedTuple):
    """Operations in order, with what goes in and out."""

    inputs: dict[str, MilType]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    attributes: dict[str, MilValue]

    def all_operations(self) -> Iterator[Operation]:
        """Yield the operations and those of the blocks inside them."""
        for operation in self.operations:
            yield operation
            for block in operation.blocks:
                yield from block.all_operations()


def read_block(field: Field, collected: Collected) -> Block:
    """Return a block.

    Args:
        field: The field that holds it.
        collected: Counts what is read.

    Raises:
        LoadError: If it is damaged or beyond the bounds.
    """
    inputs: dict[str, MilType] = {}
    attributes: dict[str, MilValue] = {}
    outputs: list[str] = []
    operations: list[Operation] = []
    for part in field.message().fields():
        collected.spend(1, part)
        if part.number == 1:
            name, type_ = named_type(part)
            inputs[name] = type_
        elif part.number == 2:  # noqa: PLR2004 - outputs
            outputs.append(part.text())
        elif part.number == 3:  # noqa: PLR2004 - operations
            operations.append(_operation(part, collected))
        elif part.number == 4:  # noqa: PLR2004 - attributes
            name, entry = entry_of(part)
            attributes[name] = read_value(entry)
    return Block(inputs, tuple(outputs), tuple(operations), attributes)


def _operation(field: Field, collected: Collected) -> Operation:
    type_ = ""
    blocks: list[Block] = []
    arguments: dict[str, list[str | MilValue]] = {}
    attributes: dict[str, MilValue] = {}
    outputs: dict[str, MilType] = {}
    for part in field.message().fields():
        collected.spend(1, part)
        if part.number == 1:
            type_ = part.text()
        elif part.number == 2:  # noqa: PLR2004 - arguments
            name, entry = entry_of(part)
            arguments[name] = [_binding(bound) for bound in entry.message().fields() if bound.number == 1]
        elif part.number == 3:  # noqa: PLR2004 - outputs
            name, given = named_type(part)
            outputs[name] = given
        elif part.number == 4:  # noqa: PLR2004 - blocks
            blocks.append(read_block(part, collected))
        elif part.number == 5:  # noqa: PLR2004 - attributes
            name, entry = entry_of(part)
            attributes[name] = read_value(entry)
    sorted_arguments = dict(sorted(arguments.items()))  # a map has no order
    return Operation(type_, sorted_arguments, outputs, tuple(blocks), dict(sorted(attributes.items())), field)


def entry_of(field: Field) -> tuple[str, Field]:
    """Return key and value of an entry of a map.

    Raises:
        LoadError: If it is damaged or has no value.
    """
    key, value = "", None
    for part in field.message().fields():
        key = part.text() if part.number == 1 else key
        value = part if part.number == 2 else value  # noqa: PLR2004 - the value
    if value is None:
        raise field.error(f"the entry {key[:80]!r} has no value")
    return key, value


def named_type(field: Field) -> tuple[str, MilType]:
    """Return the name and type of a value.

    Raises:
        LoadError: If it is damaged.
    """
    name, type_ = "", MilType("", None)
    for part in field.message().fields():
        if part.number == _NAME:
            name = part.text()
        elif part.number == _TYPE:
            type_ = read_type(part.message())
    return name, type_


def _binding(field: Field) -> str | MilValue:
    found: str | MilValue = ""
    for part in field.message().fields():
        found = part.text() if part.number == 1 else read_value(part)
    return found
