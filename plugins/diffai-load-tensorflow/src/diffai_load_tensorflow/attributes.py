"""Attributes of nodes as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import LENGTH

from diffai_load_tensorflow.few import plain_constant
from diffai_load_tensorflow.tensor_proto import digest_of, read_constant, text_of
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
_MAX_CACHED, _MAX_CACHE = 128, 10_000
_MAX_LIST_BYTES = 1 << 20


class Context(NamedTuple):
    """Where attributes are read from.

    Args:
        file: The file.
        cache: Short attributes by their bytes: a graph repeats types and shapes in each of its nodes.
    """

    file: DataFile
    cache: dict[bytes, tuple[str, Any]]


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
        key, value = _entry(field, context)
        found[key] = value
    return dict(sorted(found.items()))


def _entry(field: Field, context: Context) -> tuple[str, Any]:
    """Return name and value of an attribute."""
    if field.expect(LENGTH).value > _MAX_CACHED:
        return _read_entry(field, context)
    raw = field.data()
    entry = context.cache.get(raw)
    if entry is None:
        entry = _read_entry(field, context)
        if len(context.cache) < _MAX_CACHE:
            context.cache[raw] = entry
    return entry


def _read_entry(field: Field, context: Context) -> tuple[str, Any]:
    key, value = entry_of(field)
    return key, None if value is None else attribute(value, context)


def entry_of(field: Field) -> tuple[str, Message | None]:
    """Return key and value of an entry of a map."""
    key, value = "", None
    for part in field.message().fields():
        if part.number == _KEY:
            key = part.text()
        elif part.number == _VALUE:
            value = part.message()
    return key, value


def may_be(field: Field, key: str) -> bool:
    """Whether an entry of a map may have this key: a quick look that finds most that have another one."""
    start = bytes([_KEY << 3 | LENGTH, len(key)]) + key.encode()
    found = field.owner.source.read(field.start, min(len(start), field.value))
    return found == start or not found.startswith(start[:1])


def attribute(message: Message, context: Context) -> Any:
    """Return the value of an attribute: a number, a text, a list …; ``None`` if it has none.

    Raises:
        LoadError: If it is damaged.
    """
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
        if number in _NUMBERS and field.wire == LENGTH and field.value > _MAX_LIST_BYTES:
            found.append(digest_of(field.message()))
        elif number in _NUMBERS:
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
