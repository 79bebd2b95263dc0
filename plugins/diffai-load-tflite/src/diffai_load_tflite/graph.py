"""The graph: operators with their options, in subgraphs, and what goes in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import Graph, Node, Value
from diffai_load_tflite.flatbuffer import I8, U8, U32, U64
from diffai_load_tflite.model import NO_TENSOR, Subgraph, Tensor
from diffai_load_tflite.operators import CUSTOM, operator_name
from diffai_load_tflite.options import read_options
from diffai_load_tflite.types import type_name
from diffai_load_tflite.wording import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diffai_load_tflite.flatbuffer import Table
    from diffai_load_tflite.model import Model

_MODEL_OPERATORS = 1
_INPUTS, _OUTPUTS, _OPERATORS = 1, 2, 3
_OLD_CODE, _CUSTOM_CODE, _VERSION, _CODE = range(4)
_INDEX, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS, _OPTIONS_TYPE, _OPTIONS, _CUSTOM_OPTIONS = range(6)
_INTERMEDIATES, _LARGE_OFFSET, _LARGE_SIZE, _OPTIONS_2_TYPE, _OPTIONS_2 = 8, 9, 10, 11, 12


class _Operator(NamedTuple):
    name: str
    version: int


def read_graph(model: Model) -> Graph:
    """Return the first subgraph; the others are its attribute ``subgraphs``, by name.

    Raises:
        LoadError: If an operator refers to something that is not there.
    """
    operators = [_operator(table) for table in model.root.tables(_MODEL_OPERATORS)]
    versions: dict[str, list[int]] = {}
    for name, version in operators:
        versions.setdefault(name, []).append(version)
    attributes: dict[str, Any] = {"operator_versions": {name: sorted(set(versions[name])) for name in sorted(versions)}}
    if not model.subgraphs:
        return Graph(attributes=attributes)
    names = [operator.name for operator in operators]
    main, *others = (_graph(subgraph, names) for subgraph in model.subgraphs)
    if others:
        attributes["subgraphs"] = dict(zip(_labels(model.subgraphs[1:]), others, strict=True))
    return Graph(main.nodes, main.inputs, main.outputs, {**main.attributes, **attributes})


def _labels(subgraphs: Sequence[Subgraph]) -> list[str]:
    """Return a name for each subgraph but the first, with its number where another one has that name."""
    names = [subgraph.name for subgraph in subgraphs]
    return [f"{name}#{number}" if names.count(name) > 1 else name for number, name in enumerate(names, 1)]


def _operator(table: Table) -> _Operator:
    number = max(table.whole(_OLD_CODE, I8), table.whole(_CODE))  # the old field ends at 127
    name = f"custom::{table.text(_CUSTOM_CODE)}" if number == CUSTOM else operator_name(number)
    return _Operator(name, table.whole(_VERSION, default=1))


def _graph(subgraph: Subgraph, operators: Sequence[str]) -> Graph:
    table, tensors = subgraph.table, subgraph.tensors
    values = {tensor.name: _value(tensor) for tensor in tensors if tensor.data is None}
    return Graph(
        nodes=tuple(_node(operator, tensors, operators) for operator in table.tables(_OPERATORS)),
        inputs={tensor.name: _value(tensor) for tensor in _tensors(table, _INPUTS, tensors) if tensor},
        outputs={tensor.name: _value(tensor) for tensor in _tensors(table, _OUTPUTS, tensors) if tensor},
        attributes={"values": values},
    )


def _value(tensor: Tensor) -> Value:
    return Value(type_name(tensor.type), tensor.open_shape)


def _tensors(table: Table, slot: int, tensors: Sequence[Tensor]) -> Iterable[Tensor | None]:
    for index in table.wholes(slot):
        if index != NO_TENSOR and not 0 <= index < len(tensors):
            reason = f"refers to tensor {index:,}, and its subgraph has {len(tensors):,}"
            raise table.buffer.error(reason, table.at)
        yield None if index == NO_TENSOR else tensors[index]


def _names(table: Table, slot: int, tensors: Sequence[Tensor]) -> tuple[str, ...]:
    return tuple(tensor.name if tensor else "" for tensor in _tensors(table, slot, tensors))


def _node(table: Table, tensors: Sequence[Tensor], operators: Sequence[str]) -> Node:
    index = table.whole(_INDEX, U32)
    if index >= len(operators):
        raise table.buffer.error(f"refers to operator {index:,}, and there are {len(operators):,}", table.at)
    intermediates = _names(table, _INTERMEDIATES, tensors)
    return Node(
        op=operators[index],
        inputs=_names(table, _OPERATOR_INPUTS, tensors),
        outputs=_names(table, _OPERATOR_OUTPUTS, tensors),
        attributes=_options(table) | ({"intermediates": list(intermediates)} if intermediates else {}),
    )


def _options(table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for type_slot, slot, is_new in ((_OPTIONS_TYPE, _OPTIONS, False), (_OPTIONS_2_TYPE, _OPTIONS_2, True)):
        kind = table.whole(type_slot, U8)
        options = table.table(slot) if kind else None
        if options:
            found |= read_options(options, kind, is_new)
    custom = _custom_options(table)
    return found | ({"custom_options": plain(custom)} if custom else {})


def _custom_options(table: Table) -> bytes:
    offset = table.whole(_LARGE_OFFSET, U64)
    if offset > 1:
        return table.buffer.take(offset, table.whole(_LARGE_SIZE, U64))
    return table.raw(_CUSTOM_OPTIONS)
