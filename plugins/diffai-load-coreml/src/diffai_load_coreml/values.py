"""Values of an ML program: constants with their type, kept in the model itself or in a file of weights."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_protobuf import FIXED32, FIXED64, LENGTH

from diffai_core.plugin import Value
from diffai_load_coreml.schema import names_of
from diffai_load_coreml.stored import KINDS, Stored, bits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile
    from diffai_load_coreml.blobs import Blobs
    from diffai_load_coreml.plain import Plain

_MAX_DIMENSIONS = 64
_MAX_ELEMENTS = 1 << 60
_FORMS = {1: "float", 2: "int32", 3: "bool", 4: "string", 5: "int64", 6: "double", 7: "bytes"}
_GATHERINGS = {2: "tuple", 3: "list", 4: "dictionary"}
_GATHERED = frozenset(_GATHERINGS.values())
_TENSOR_TYPE, _STATE_TYPE = 1, 5
_IMMEDIATE, _BLOB = 3, 5


class MilType(NamedTuple):
    """Type of a value.

    Args:
        code: Element type in lower case; empty of lists, tuples and dictionaries.
        shape: Lengths of the dimensions, ``None`` where open; ``None`` for the whole if it is no tensor.
    """

    code: str
    shape: tuple[int | None, ...] | None

    @property
    def described(self) -> Value:
        """What the graph says about it."""
        return Value(KINDS[self.code].name if self.code in KINDS else self.code, self.shape)

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """The shape if it is known throughout, and such as an array can have."""
        if self.shape is None or len(self.shape) > _MAX_DIMENSIONS:
            return None
        known = tuple(length for length in self.shape if length is not None)
        fits = math.prod(length or 1 for length in known) <= _MAX_ELEMENTS
        return known if fits and len(known) == len(self.shape) else None


class MilValue(NamedTuple):
    """A constant.

    Args:
        type: Its type.
        field: The field of the message that holds it.
        form: Where its numbers are: ``blob``, a kind of numbers, ``list``, ``tuple``, ``dictionary``; empty if unknown.
        numbers: The fields that hold its numbers or parts; of a blob, the one that says where they are.
    """

    type: MilType
    field: Field
    form: str
    numbers: tuple[Field, ...]


def read_type(message: Message) -> MilType:
    """Return the type that a ``ValueType`` describes.

    Raises:
        LoadError: If it is damaged.
    """
    for field in message.fields():
        if field.number == _TENSOR_TYPE:
            return _tensor_type(field.message())
        if field.number == _STATE_TYPE:
            return next(
                (read_type(part.message()) for part in field.message().fields() if part.number == 1), MilType("", None)
            )
    return MilType("", None)


def _tensor_type(message: Message) -> MilType:
    code = ""
    dims: list[int | None] = []
    for field in message.fields():
        if field.number == 1:
            code = names_of("=MILSpec.DataType").get(field.unsigned(), str(field.value)).lower()
        if field.number == 3:  # noqa: PLR2004 - dimensions
            dims.append(_dimension(field.message()))
    return MilType(code, tuple(dims))


def _dimension(message: Message) -> int | None:
    for field in message.fields():
        if field.number == 1:
            return next((part.unsigned() for part in field.message().fields() if part.number == 1), 0)
    return None


def read_value(field: Field) -> MilValue:
    """Return the constant that a field of type ``Value`` holds.

    Raises:
        LoadError: If it is damaged.
    """
    type_, form = MilType("", None), ""
    numbers: list[Field] = []
    for part in field.message().fields():
        if part.number == 2:  # noqa: PLR2004 - its type
            type_ = read_type(part.message())
        if part.number == _IMMEDIATE:
            form, numbers = _immediate(part.message())
        if part.number == _BLOB:
            form, numbers = "blob", [part]
    return MilValue(type_, field, form, tuple(numbers))


def _immediate(message: Message) -> tuple[str, list[Field]]:
    for field in message.fields():
        if field.number in _GATHERINGS:
            return _GATHERINGS[field.number], [part for part in field.message().fields() if part.number == 1]
        if field.number == 1:
            for kind in field.message().fields():
                return _FORMS.get(kind.number, ""), [part for part in kind.message().fields() if part.number == 1]
            return "", []
    return "", []


def stored_of(value: MilValue, file: DataFile, blobs: Blobs) -> Stored | None:
    """Return where the elements of a constant lie; ``None`` if they lie nowhere as they are.

    Args:
        value: The constant.
        file: The file of the model, which holds it or names where it is.
        blobs: The files of weights.

    Raises:
        LoadError: If a file of weights does not hold what the model says.
    """
    shape, code = value.type.lengths, value.type.code
    if shape is None or bits_of(code) is None:
        return None
    if value.form == "blob":
        name, offset = "", 0
        for part in value.numbers[0].message().fields():
            name = part.text() if part.number == 1 else name
            offset = part.unsigned() if part.number == 2 else offset  # noqa: PLR2004 - the offset
        return blobs.stored(name, offset, code, shape)
    if len(value.numbers) != 1:
        return None
    (numbers,) = value.numbers
    fits = {
        "float": (code == "float32", FIXED32),
        "double": (code == "float64", FIXED64),
        "bytes": (True, LENGTH),
    }.get(value.form)
    if fits is None or not fits[0] or numbers.wire not in {LENGTH, fits[1]}:
        return None
    found = Stored(file, numbers.start, code, shape)
    size = numbers.value if numbers.wire == LENGTH else found.nbytes
    if size != found.nbytes:
        raise numbers.error(f"a constant of {code}, shape {list(shape)}, has {size:,} bytes here")
    return found


def plain_of(value: MilValue, plain: Plain, path: str) -> Any:
    """Return a constant as plain values: a number or text, or a list of them in row-major order.

    Raises:
        LoadError: If it is damaged or beyond the bounds.
    """
    if value.form in _GATHERED:
        return _gathered(value, plain, path)
    read = _READ.get(value.form)
    if read is None:
        return plain.message(value.field.message(), "MILSpec.Value", path)
    row: list[Any] = []
    for field in value.numbers:
        for item in read(field, value.type.code):
            plain.collected.spend(1, field)
            row.append(item)
    return row[0] if value.type.shape == () and len(row) == 1 else row


def _gathered(value: MilValue, plain: Plain, path: str) -> Any:
    """Return a list or tuple as a list, and a dictionary as a mapping."""
    if value.form != "dictionary":
        return [plain_of(read_value(field), plain, path) for field in value.numbers]
    found: dict[str, Any] = {}
    for field in value.numbers:
        parts = {part.number: read_value(part) for part in field.message().fields()}
        key, held = (plain_of(parts[number], plain, path) if number in parts else None for number in (1, 2))
        found[str(key)] = held
    return found


def _packed(field: Field, code: str) -> Iterable[Any]:
    """Return numbers that are kept as bytes; the bytes themselves if they are of a rare type."""
    data = field.data()
    form = _STRUCTS.get(code)
    if form is None or len(data) % struct.calcsize(form):
        return [data]
    return [number for (number,) in struct.iter_unpack(form, data)]


_STRUCTS = {"float16": "<e", "int8": "<b", "uint8": "<B", "int16": "<h", "uint16": "<H", "uint32": "<I"}
_READ: dict[str, Callable[[Field, str], Iterable[Any]]] = {
    "float": lambda field, _: field.all_float32(),
    "double": lambda field, _: field.all_float64(),
    "int32": lambda field, _: field.all_signed(),
    "int64": lambda field, _: field.all_signed(),
    "bool": lambda field, _: map(bool, field.all_unsigned()),
    "string": lambda field, _: [field.text()],
    "bytes": _packed,
}
