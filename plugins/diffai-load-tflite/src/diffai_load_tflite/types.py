"""The element types of TensorFlow Lite, by number (schema of TensorFlow 2.21)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import dtype

if TYPE_CHECKING:
    from diffai_core.plugin import DType

TYPES: tuple[str, ...] = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64"),
    *("complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4"),
)
STRING = TYPES.index("string")
_WITHOUT_ELEMENTS = frozenset({"string", "resource", "variant"})


def type_name(number: int) -> str:
    """Return the name of an element type; ``type_<number>`` for one that is newer than this table.

    Example:
        >>> type_name(9), type_name(77)
        ('int8', 'type_77')
    """
    return TYPES[number] if 0 <= number < len(TYPES) else f"type_{number}"


def element_type(number: int) -> DType | None:
    """Return the element type of numbers; ``None`` for strings, handles, and what is newer than this table."""
    name = type_name(number)
    return dtype(name) if name in TYPES and name not in _WITHOUT_ELEMENTS else None
