"""Messages as plain values, by the names of the schema; long rows of numbers become tensors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_protobuf import FIXED32, FIXED64, LENGTH

from diffai_core.plugin import FileTensor, Foreign, opaque_dtype
from diffai_load_coreml.schema import FieldType, fields_of, names_of
from diffai_load_coreml.stored import Stored
from diffai_load_coreml.tensors import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile
    from diffai_load_coreml.collected import Collected

MAX_BYTES = 4096
"""Longer byte strings are tensors of bytes."""
MAX_LISTED = 64
"""Longest row of floating-point numbers that stays a list where lists are wanted."""

_FLOATS = {"float": (FIXED32, "float32", 4), "double": (FIXED64, "float64", 8)}
_UNSIGNED = frozenset({"uint32", "uint64"})
_FOREIGN = frozenset({"CustomModel", "CustomLayerParams"})
_SCALARS: dict[str, Callable[[Field], Any]] = {
    "string": lambda field: field.text(),
    "float": lambda field: field.float32(),
    "double": lambda field: field.float64(),
    "bool": lambda field: field.boolean(),
    "int32": lambda field: field.signed(),
    "int64": lambda field: field.signed(),
    "uint32": lambda field: field.unsigned(),
    "uint64": lambda field: field.unsigned(),
}
_ABSENT = object()


class Plain:
    """Turns messages into plain values.

    Args:
        file: The file that holds them.
        collected: Takes tensors.
        special: Called instead for messages of a type, with the field and its path; what it returns stands in the
            place of the message, unless it is ``ABSENT``.
        lists: Whether short rows of floating-point numbers stay lists.
    """

    ABSENT: Any = _ABSENT

    def __init__(self, file: DataFile, collected: Collected, special: dict[str, Any], *, lists: bool = False) -> None:
        self._file = file
        self.collected = collected
        self._special = special
        self._lists = lists

    def message(self, message: Message, type_: str, path: str) -> dict[str, Any]:
        """Return a message as a mapping from the names of its fields.

        Args:
            message: The message.
            type_: What the schema calls it.
            path: Where it is in the model; names of tensors begin with it.

        Raises:
            LoadError: If it is damaged or beyond the bounds.
        """
        known = fields_of(type_)
        found: dict[str, Any] = {}
        groups: dict[int, list[Field]] = {}
        for field in message.fields():
            self.collected.spend(1, field)
            groups.setdefault(field.number, []).append(field)
        for number in sorted(groups):
            kind = known.get(number)
            name = kind.name if kind is not None else f"field {number}"
            value = self._fields(groups[number], kind, f"{path}.{name}" if path else name)
            if value is not _ABSENT:
                found[name] = value
        if type_ in _FOREIGN and found.get("className"):
            self.collected.foreign.append(Foreign(str(found["className"]), self._file.name, message.start))
        return found

    def _fields(self, fields: list[Field], kind: FieldType | None, path: str) -> Any:
        """Return all fields of one number as one value."""
        if kind is None:
            return [self._unknown(field, path) for field in fields]
        if kind.key:
            return self._map(fields, kind, path)
        if not kind.repeated:
            if len(fields) > 1:
                raise fields[1].error(f"{path} is there {len(fields):,} times")
            return self.one(fields[0], kind.type, path)
        if kind.type in _FLOATS:
            return self._row(fields, kind.type, path)
        if kind.type.startswith("=") or kind.type in {"bool", "int32", "int64", "uint32", "uint64"}:
            return list(self._numbers(fields, kind.type))
        values = [self.one(field, kind.type, f"{path}[{index}]") for index, field in enumerate(fields)]
        return [None if value is _ABSENT else value for value in values]

    def _unknown(self, field: Field, path: str) -> Any:
        """Return a field that the schema does not have; its bytes, if it holds data."""
        return field.value if field.wire != LENGTH else self._bytes(field, path)

    def one(self, field: Field, type_: str, path: str) -> Any:
        """Return one field.

        Args:
            field: The field.
            type_: Its type in the schema.
            path: Where it is in the model.

        Raises:
            LoadError: If it is damaged or beyond the bounds.
        """
        if type_ == "bytes":
            return self._bytes(field, path)
        if type_.startswith("="):
            return _named(type_, field.unsigned())
        if type_ in _SCALARS:
            return _SCALARS[type_](field)
        special = self._special.get(type_)
        return special(field, path) if special is not None else self.message(field.message(), type_, path)

    def _bytes(self, field: Field, path: str) -> Any:
        if field.expect(LENGTH).value <= MAX_BYTES:
            return field.data()
        kind = opaque_dtype("bytes", 1)
        self.collected.add(
            path,
            lambda name: FileTensor(name=name, shape=(field.value,), dtype=kind, file=self._file, offset=field.start),
        )
        return _ABSENT

    def _map(self, fields: list[Field], kind: FieldType, path: str) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for field in fields:
            parts = {part.number: part for part in field.message().fields()}
            key = str(self.one(parts[1], kind.key, path)) if 1 in parts else ""
            value = self.one(parts[2], kind.type, f"{path}.{key}") if 2 in parts else None  # noqa: PLR2004 - the field of the value
            if key in entries:
                raise field.error(f"{path} has two entries {key[:80]!r}")
            entries[key] = None if value is _ABSENT else value
        return dict(sorted(entries.items()))

    def _numbers(self, fields: list[Field], type_: str) -> Iterator[Any]:
        """Yield whole numbers, truth values, or the names of an enumeration."""
        signed = type_ in {"int32", "int64"}
        for field in fields:
            for value in field.all_signed() if signed else field.all_unsigned():
                self.collected.spend(1, field)
                yield bool(value) if type_ == "bool" else _named(type_, value)

    def _row(self, fields: list[Field], type_: str, path: str) -> Any:
        """Return a row of floating-point numbers as a list, or make a tensor of it."""
        wire, code, size = _FLOATS[type_]
        count = sum(field.packed_count(wire) for field in fields)
        if len(fields) == 1 and not (self._lists and count <= MAX_LISTED):
            stored = Stored(self._file, fields[0].start, code, (count,))
            self.collected.add(path, partial(tensor_of, stored))
            return _ABSENT
        self.collected.spend(count * size, fields[0])
        numbers = (field.all_float32() if type_ == "float" else field.all_float64() for field in fields)
        return [value for row in numbers for value in row]


def _named(type_: str, value: int) -> Any:
    return names_of(type_).get(value, value) if type_.startswith("=") else value
