"""What goes in and out: types and shapes of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import Value
from diffai_load_onnx import schema

if TYPE_CHECKING:
    from diffai_lib_protobuf import Field, Message

    from diffai_load_onnx.contents import Contents

_NAME, _TYPE, _DOC, _METADATA = 1, 2, 3, 4
_TENSOR, _SEQUENCE, _MAP, _DENOTATION, _OPAQUE, _SPARSE, _OPTIONAL = 1, 4, 5, 6, 7, 8, 9
MAX_DIMENSIONS = 1024


def value_of(message: Message, contents: Contents, path: str) -> tuple[str, Value]:
    """Return name and type of a ValueInfoProto; its documentation goes into the notes.

    Raises:
        LoadError: If it is damaged.
    """
    name, value = "", Value()
    notes: list[Field] = []
    for found in message.fields():
        if found.number == _NAME:
            name = contents.budget.name(found)
        elif found.number == _TYPE:
            value, denotation = _type_of(found.message(), contents)
            notes.extend(denotation)
        elif found.number in {_DOC, _METADATA}:
            contents.budget.take(found)
            notes.append(found)
        else:
            contents.add_unknown(found, "value")
    for note in notes:
        where = f"{path}{name}"
        if note.number == _DENOTATION:
            contents.notes.setdefault(where, {})["denotation"] = contents.budget.text(note)
        else:
            contents.add_note(where, note, is_doc=note.number == _DOC)
    return name, value


def _type_of(message: Message, contents: Contents) -> tuple[Value, list[Field]]:
    """Return the type and its denotation, if it has one."""
    value, denotation = Value(), []
    for found in message.fields():
        if found.number == _TENSOR:
            value = _tensor_type(found.message(), contents)
        elif found.number == _SPARSE:
            value = _tensor_type(found.message(), contents)
            value = Value(f"sparse_tensor({value.dtype})", value.shape)
        elif found.number in {_SEQUENCE, _OPTIONAL}:
            word = "sequence" if found.number == _SEQUENCE else "optional"
            value = Value(f"{word}({_element_type(found.message(), contents)})")
        elif found.number == _MAP:
            value = Value(_map_type(found.message(), contents))
        elif found.number == _OPAQUE:
            value = Value("opaque(" + "::".join(contents.budget.name(part) for part in found.message().fields()) + ")")
        elif found.number == _DENOTATION:
            denotation.append(found)
        else:
            contents.add_unknown(found, "type")
    return value, denotation


def type_text(message: Message, contents: Contents) -> str:
    """Return a TypeProto as text, for instance ``sequence(float32[N, 3])``.

    Raises:
        LoadError: If it is damaged.
    """
    return _text(_type_of(message, contents)[0])


def _text(value: Value) -> str:
    if value.shape is None:
        return value.dtype
    return f"{value.dtype}[{', '.join('?' if length is None else str(length) for length in value.shape)}]"


def _element_type(message: Message, contents: Contents) -> str:
    for found in message.fields():
        if found.number == 1:
            return type_text(found.message(), contents)
        contents.add_unknown(found, "type")
    return ""


def _map_type(message: Message, contents: Contents) -> str:
    key = value = ""
    for found in message.fields():
        if found.number == 1:
            key = schema.type_name(found.unsigned())
        elif found.number == 2:  # noqa: PLR2004 - key and value
            value = type_text(found.message(), contents)
        else:
            contents.add_unknown(found, "type")
    return f"map({key}, {value})"


def _tensor_type(message: Message, contents: Contents) -> Value:
    dtype, shape = "", None
    for found in message.fields():
        if found.number == 1:
            dtype = schema.type_name(found.unsigned())
        elif found.number == 2:  # noqa: PLR2004 - element type and shape
            shape = _shape_of(found.message(), contents)
        else:
            contents.add_unknown(found, "tensor type")
    return Value(dtype, shape)


def _shape_of(message: Message, contents: Contents) -> tuple[int | str | None, ...]:
    lengths: list[int | str | None] = []
    for found in message.fields():
        if found.number != 1:
            contents.add_unknown(found, "shape")
            continue
        contents.budget.take(found)
        if len(lengths) == MAX_DIMENSIONS:
            raise found.error(f"a shape has more than {MAX_DIMENSIONS:,} dimensions")
        lengths.append(_length_of(found.message(), contents))
    return tuple(lengths)


def _length_of(message: Message, contents: Contents) -> int | str | None:
    length: int | str | None = None
    for found in message.fields():
        if found.number == 1:
            length = found.signed()
        elif found.number == 2:  # noqa: PLR2004 - a number or a symbol
            length = contents.budget.name(found) or None
        elif found.number != 3:  # noqa: PLR2004 - what the dimension means: a hint for people
            contents.add_unknown(found, "dimension")
    return length
