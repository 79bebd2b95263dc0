"""Attributes of nodes as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_load_tensorflow.tensor_proto import plain_constant, read_constant, text_of
from diffai_load_tensorflow.types import read_shape, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile

MAX_PLAIN_BYTES = 1024
"""Elements of so many bytes are shown in an attribute; of more there is a digest."""
_LIST, _TEXT, _INTEGER, _FLOAT, _BOOL, _TYPE, _SHAPE, _TENSOR, _PLACEHOLDER, _FUNCTION = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
_KEY, _VALUE = 1, 2
_LIST_FUNCTION = 9
_MAX_CACHED = 64


class Context(NamedTuple):
    """Where attributes are read from.

    Args:
        file: The file.
        cache: Short values by their bytes: a graph repeats types and shapes in each of its nodes.
    """

    file: DataFile
    cache: dict[bytes, Any]


def read_attributes(fields: list[Field], context: Context) -> dict[str, Any]:
    """Return a map of attributes by name, sorted.

    Args:
        fields: Its entries.
        context: Where they lie.

    Raises:
        LoadError: If one is damaged.
    """
    found = {}
    for field in fields:
        key, value = entry_of(field)
        found[key] = None if value is None else attribute(value, context)
    return dict(sorted(found.items()))


def entry_of(field: Field) -> tuple[str, Message | None]:
    """Return key and value of an entry of a map."""
    key, value = "", None
    for part in field.message().fields():
        if part.number == _KEY:
            key = part.text()
        elif part.number == _VALUE:
            value = part.message()
    return key, value


def attribute(message: Message, context: Context) -> Any:
    """Return the value of an attribute: a number, a text, a list …; ``None`` if it has none.

    Raises:
        LoadError: If it is damaged.
    """
    length = message.end - message.start
    if length > _MAX_CACHED:
        return _attribute(message, context)
    raw = message.source.read(message.start, length)
    if raw not in context.cache:
        context.cache[raw] = _attribute(message, context)
    return context.cache[raw]


def _attribute(message: Message, context: Context) -> Any:
    value: Any = None
    for field in message.fields():
        if field.number == _LIST:
            value = _list(field.message(), context)
        elif field.number == _PLACEHOLDER:
            value = {"placeholder": field.text()}
        elif field.number in _READERS:
            value = _READERS[field.number](field, context)
    return value


def _list(message: Message, context: Context) -> list[Any]:
    found: list[Any] = []
    for field in message.fields():
        number = _FUNCTION if field.number == _LIST_FUNCTION else field.number
        if number in _NUMBERS:
            found.extend(_NUMBERS[number](field))
        elif number in _READERS:
            found.append(_READERS[number](field, context))
    return found


def _shape(field: Field, _: Context) -> list[int | None] | None:
    shape = read_shape(field.message())
    return None if shape is None else list(shape)


def _tensor(field: Field, context: Context) -> dict[str, Any]:
    return plain_constant(read_constant(field.message(), context.file), MAX_PLAIN_BYTES)


def _function(field: Field, context: Context) -> dict[str, Any]:
    """Return the name of a function and the attributes it is called with."""
    name, entries = "", []
    for part in field.message().fields():
        if part.number == 1:
            name = part.text()
        elif part.number == 2:  # noqa: PLR2004 - attr
            entries.append(part)
    attributes = read_attributes(entries, context)
    return {"function": name} | ({"attributes": attributes} if attributes else {})


_READERS: dict[int, Callable[[Field, Context], Any]] = {
    _TEXT: lambda field, _: text_of(field),
    _INTEGER: lambda field, _: field.signed(),
    _FLOAT: lambda field, _: field.float32(),
    _BOOL: lambda field, _: field.boolean(),
    _TYPE: lambda field, _: type_name(field.unsigned()),
    _SHAPE: _shape,
    _TENSOR: _tensor,
    _FUNCTION: _function,
}
_NUMBERS: dict[int, Callable[[Field], list[Any]]] = {
    _INTEGER: lambda field: list(field.all_signed()),
    _FLOAT: lambda field: list(field.all_float32()),
    _BOOL: lambda field: [value != 0 for value in field.all_unsigned()],
    _TYPE: lambda field: [type_name(value) for value in field.all_unsigned()],
}
"""Lists of numbers may be packed."""
