"""Attributes of nodes as plain values; long lists of numbers and larger tensors become tensors."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import FIXED32, LENGTH, VARINT

from diffai_core.plugin import BlockTensor, FileTensor, TensorRef, dtype
from diffai_load_onnx import schema
from diffai_load_onnx.small import elements_of, is_plain
from diffai_load_onnx.tensors import TypedField, open_typed, taken_apart
from diffai_load_onnx.types import type_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile, Graph
    from diffai_load_onnx.contents import Contents, Scope

MAX_LISTED = 64
"""Longest list of numbers, and largest tensor, that stands among the attributes; others become tensors."""
MAX_TEXTS = 4096
"""Longest list of texts that is compared text by text; longer ones are compared by digest."""

_NAME, _F, _I, _S, _T, _G, _FLOATS, _INTS, _STRINGS, _TENSORS, _GRAPHS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
_DOC, _TP, _TPS, _TYPE, _REF, _SPARSE, _SPARSES = 13, 14, 15, 20, 21, 22, 23
_FIELD_OF_TYPE = {
    1: _F,
    2: _I,
    3: _S,
    4: _T,
    5: _G,
    6: _FLOATS,
    7: _INTS,
    8: _STRINGS,
    9: _TENSORS,
    10: _GRAPHS,
    11: _SPARSE,
    12: _SPARSES,
    13: _TP,
    14: _TPS,
}
_DEFAULTS: dict[int, Any] = {
    _F: 0.0,
    _I: 0,
    _S: "",
    _FLOATS: [],
    _INTS: [],
    _STRINGS: [],
    _TENSORS: [],
    _GRAPHS: [],
    _SPARSES: [],
    _TPS: [],
}


class Found(NamedTuple):
    """An AttributeProto, taken apart.

    Args:
        message: All of it.
        name: Its name.
        kind: Field that holds its value; 0 if there is none.
        values: The first fields that hold it, and how many there are; the last of a single value.
        refers_to: Name of the attribute of a function that it takes its value from.
        doc: Its documentation.
    """

    message: Message
    name: str
    kind: int
    values: tuple[list[Field], int] | None
    refers_to: str
    doc: Field | None

    @property
    def first(self) -> Field:
        """The first field of the value; there is one."""
        assert self.values is not None
        return self.values[0][0]

    def parts(self) -> Iterable[Field]:
        """Return all fields of the value, in order."""
        if self.values is None:
            return ()
        held, count = self.values
        if len(held) == count:
            return held
        return (part for part in self.message.fields() if part.number == self.kind)


def attribute_of(message: Message, contents: Contents) -> Found:
    """Return the parts of an AttributeProto.

    Raises:
        LoadError: If it is damaged.
    """
    name = refers_to = ""
    doc, kind = None, 0
    values: dict[int, tuple[list[Field], int]] = {}
    for found in message.fields():
        number = found.number
        if number == _NAME:
            name = contents.budget.name(found)
        elif number == _TYPE:
            kind = _FIELD_OF_TYPE.get(found.unsigned(), 0)
        elif number == _REF:
            refers_to = contents.budget.name(found)
        elif number == _DOC:
            doc = found
        elif number in _READERS:
            held, count = values.get(number, ([], 0))
            if number not in _LISTS:
                held, count = [], 0
            if count <= MAX_LISTED:
                held.append(found)
            values[number] = held, count + 1
        else:
            contents.add_unknown(found, "attribute")
    if not kind and len(values) == 1:
        (kind,) = values  # the first versions of the format did not say the type
    return Found(message, name, kind, values.get(kind), refers_to, doc)


class Surroundings(NamedTuple):
    """What the value of an attribute may refer to.

    Args:
        contents: Takes tensors.
        scope: The graph of the node.
        where: Stands before keys of tensors and paths of bodies: name of node and attribute.
        file: The file of the model.
        read_graph: Reads a body; called with the message and the name of the body.
    """

    contents: Contents
    scope: Scope
    where: str
    file: DataFile
    read_graph: Callable[[Message, str], Graph]


def plain_value(found: Found, around: Surroundings) -> Any:
    """Return the value of an attribute as a plain value, a graph, or a list of graphs.

    Raises:
        LoadError: If it is damaged.
    """
    if found.refers_to:
        return {"from": found.refers_to}
    if found.values is None:
        return _DEFAULTS.get(found.kind)
    return _READERS[found.kind](found, around)


def as_tensor(found: Found, file: DataFile, numpy_name: str, *, scalar: bool = False) -> TensorRef:
    """Return the numbers of an attribute as a tensor of one dimension, or none for a single number.

    Args:
        found: An attribute of one or many numbers.
        file: The file of the model.
        numpy_name: ``float32`` or ``int64``.
        scalar: Whether it is a single number.

    Raises:
        LoadError: If it is damaged.
    """
    dtype_, wire = dtype(numpy_name), FIXED32 if numpy_name == "float32" else VARINT
    if found.values is None:
        return FileTensor(name="", shape=(0,), dtype=dtype_, file=file, offset=found.message.start)
    first, count = found.first, found.values[1]
    if numpy_name == "float32" and count == 1:
        n_numbers = first.packed_count(FIXED32)
        shape = () if scalar else (n_numbers,)
        return FileTensor(name="", shape=shape, dtype=dtype_, file=file, offset=first.start)
    shape = () if scalar else (_length(found),)
    return BlockTensor(
        name="",
        shape=shape,
        dtype=dtype_,
        open_blocks=partial(open_typed, TypedField(found.message, found.kind, wire), numpy_name, shape),
        shared_storage=(file.path, found.message.start),
    )


def _length(found: Found) -> int:
    """Return how many numbers a list holds."""
    n_numbers = 0
    for part in found.parts():
        if found.kind == _FLOATS:
            n_numbers += part.packed_count(FIXED32)
        else:
            n_numbers += 1 if part.wire == VARINT else sum(1 for _ in part.all_unsigned())
    return n_numbers


def _numbers(found: Found, around: Surroundings) -> Any:
    assert found.values is not None
    first, count = found.first, found.values[1]
    around.contents.budget.take(first, min(count, MAX_LISTED))
    is_float = found.kind == _FLOATS
    if count <= MAX_LISTED and (first.wire != LENGTH or first.value <= MAX_LISTED * 4):
        values = [value for part in found.parts() for value in (part.all_float32() if is_float else part.all_signed())]
        if len(values) <= MAX_LISTED:
            return values
    name = "float32" if is_float else "int64"
    ref = as_tensor(found, around.file, name)
    around.contents.add_plain(ref, around.scope, around.where)
    return {"dtype": name, "shape": list(ref.shape)}


def _texts(found: Found, around: Surroundings) -> Any:
    assert found.values is not None
    _, count = found.values
    if count > MAX_TEXTS:
        return {"count": count, **around.contents.budget.digest(found.message)}
    return [around.contents.budget.text(part) for part in found.parts()]


def _tensor(found: Found, around: Surroundings) -> Any:
    return _tensor_value(found.first.message(), around, around.where)


def _tensors(found: Found, around: Surroundings) -> Any:
    return [_tensor_value(part.message(), around, f"{around.where}[{i}]") for i, part in enumerate(found.parts())]


def _tensor_value(message: Message, around: Surroundings, name: str) -> Any:
    """Return a small tensor with its elements, and type and shape of one that is compared as a tensor."""
    stored = taken_apart(message)
    described = {"dtype": schema.type_name(stored.code), "shape": list(stored.shape)}
    if math.prod(stored.dims) <= MAX_LISTED and is_plain(stored):
        around.contents.budget.take(message, 1 + math.prod(stored.dims))
        return described | {"values": elements_of(stored, around.contents.external, around.file)}
    around.contents.add_tensor(message, around.scope, name)
    return described


def _sparse(found: Found, around: Surroundings) -> Any:
    for i, part in enumerate(found.parts()):
        around.contents.add_sparse(part.message(), around.scope, f"{around.where}[{i}]" if i else around.where)
    return {"sparse tensors": found.values[1] if found.values else 0}


def _graph(found: Found, around: Surroundings) -> Any:
    return around.read_graph(found.first.message(), around.where)


def _graphs(found: Found, around: Surroundings) -> Any:
    return [around.read_graph(part.message(), f"{around.where}[{i}]") for i, part in enumerate(found.parts())]


def _types(found: Found, around: Surroundings) -> Any:
    texts = [type_text(part.message(), around.contents) for part in found.parts()]
    return texts[-1] if found.kind == _TP else texts


def _single(read: Callable[[Field], Any]) -> Callable[[Found, Surroundings], Any]:
    def value(found: Found, _: Surroundings) -> Any:
        return read(found.first)

    return value


def _text(found: Found, around: Surroundings) -> Any:
    return around.contents.budget.text(found.first)


_READERS: dict[int, Callable[[Found, Surroundings], Any]] = {
    _F: _single(lambda field: field.float32()),
    _I: _single(lambda field: field.signed()),
    _S: _text,
    _T: _tensor,
    _G: _graph,
    _FLOATS: _numbers,
    _INTS: _numbers,
    _STRINGS: _texts,
    _TENSORS: _tensors,
    _GRAPHS: _graphs,
    _TP: _types,
    _TPS: _types,
    _SPARSE: _sparse,
    _SPARSES: _sparse,
}
_LISTS = frozenset({_FLOATS, _INTS, _STRINGS, _TENSORS, _GRAPHS, _TPS, _SPARSES})
