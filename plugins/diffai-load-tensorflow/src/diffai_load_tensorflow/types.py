"""The element types of TensorFlow, by number (TensorFlow 2.21), and how shapes are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import dtype

if TYPE_CHECKING:
    from diffai_lib_protobuf import Message

    from diffai_core.plugin import DType

_NAMES = (
    *("", "float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool"),
    *("qint8", "quint8", "qint32", "bfloat16", "qint16", "quint16", "uint16", "complex128", "float16", "resource"),
    *("variant", "uint32", "uint64", "float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz"),
    *("float8_e5m2fnuz", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
)
_FIELDS = {
    "float32": 5,
    "float64": 6,
    "complex64": 9,
    "complex128": 12,
    "int64": 10,
    "bool": 11,
    "uint32": 16,
    "uint64": 17,
    "float16": 13,
    "bfloat16": 13,
    **dict.fromkeys(("int32", "int16", "uint16", "int8", "uint8", "int4", "uint4", "int2", "uint2"), 7),
}
_FLOAT8 = 18
_REFERENCE = 100
"""What TensorFlow adds to the number of a type for a reference to a variable."""
_WITHOUT_ELEMENTS = frozenset({"", "string", "resource", "variant"})
STRING = _NAMES.index("string")
MAX_DIMENSIONS = 254
"""TensorFlow's limit."""
MAX_ARRAY_DIMENSIONS = 64
"""NumPy's limit."""
MAX_ELEMENTS = 1 << 58


def type_name(number: int) -> str:
    """Return the name of an element type; ``type_<number>`` for one that is newer than this table.

    Example:
        >>> type_name(1), type_name(101), type_name(77)
        ('float32', 'float32_ref', 'type_77')
    """
    if _REFERENCE < number < _REFERENCE + len(_NAMES):
        return f"{_NAMES[number - _REFERENCE]}_ref"
    return _NAMES[number] if 0 < number < len(_NAMES) else f"type_{number}"


def element_type(number: int) -> DType | None:
    """Return the element type of numbers; ``None`` for texts, handles, and what is newer than this table.

    ``qint8`` and its like are integers whose scale is known to the operator that uses them.
    """
    name = _NAMES[number] if 0 < number < len(_NAMES) else ""
    return None if name in _WITHOUT_ELEMENTS else dtype(name.removeprefix("q"))


def item_bytes(kind: DType) -> int:
    """Return the bytes of an element as TensorFlow stores it: types of less than a byte take a whole one."""
    return -(-kind.bits // 8)


def field_of(kind: DType) -> int:
    """Return the number of the field in which elements of a type are written out."""
    return _FIELDS.get(kind.name, _FLOAT8)


def read_shape(message: Message | None) -> tuple[int | None, ...] | None:
    """Return the length of each dimension, ``None`` where it is open; ``None`` if not even the rank is known.

    Raises:
        LoadError: If there are too many dimensions.
    """
    lengths: list[int | None] = []
    for field in message.fields() if message else ():
        if field.number == 2:  # noqa: PLR2004 - dim
            length = next((part.signed() for part in field.message().fields() if part.number == 1), 0)
            lengths.append(length if length >= 0 else None)
        elif field.number == 3 and field.boolean():  # noqa: PLR2004 - unknown_rank
            return None
        if len(lengths) > MAX_DIMENSIONS:
            raise field.error(f"a shape of more than {MAX_DIMENSIONS} dimensions")
    return tuple(lengths)


def full_shape(message: Message, shape: tuple[int | None, ...] | None) -> tuple[int, ...]:
    """Return the shape of a tensor that is there.

    Raises:
        LoadError: If a length is open, or there are more elements than can be.
    """
    elements = 1
    for length in shape or ():
        elements *= max(length or 0, 1)
    if shape is None or None in shape or elements > MAX_ELEMENTS or len(shape) > MAX_ARRAY_DIMENSIONS:
        raise message.error("a tensor has a shape that no tensor can have")
    return tuple(length for length in shape if length is not None)
