"""The numbers of ONNX: element types, and the fields of the messages (``onnx.proto``, IR version 14)."""

from __future__ import annotations

from typing import NamedTuple

from diffai_core.plugin import DType, dtype

RAW_DATA = 9
FLOAT_DATA, INT32_DATA, STRING_DATA, INT64_DATA, DOUBLE_DATA, UINT64_DATA = 4, 5, 6, 7, 10, 11
STRING = 8
"""Code of the one element type that is no number."""
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


class ElementType(NamedTuple):
    """An element type.

    Args:
        dtype: Its name in diffai's vocabulary.
        typed_field: Field of a TensorProto in which such elements may lie one by one, instead of in ``raw_data``.
    """

    dtype: DType
    typed_field: int


ELEMENT_TYPES: dict[int, ElementType] = {
    code: ElementType(dtype(name), field)
    for code, name, field in (
        (1, "float32", FLOAT_DATA),
        (2, "uint8", INT32_DATA),
        (3, "int8", INT32_DATA),
        (4, "uint16", INT32_DATA),
        (5, "int16", INT32_DATA),
        (6, "int32", INT32_DATA),
        (7, "int64", INT64_DATA),
        (9, "bool", INT32_DATA),
        (10, "float16", INT32_DATA),
        (11, "float64", DOUBLE_DATA),
        (12, "uint32", UINT64_DATA),
        (13, "uint64", UINT64_DATA),
        (14, "complex64", FLOAT_DATA),
        (15, "complex128", DOUBLE_DATA),
        (16, "bfloat16", INT32_DATA),
        (17, "float8_e4m3fn", INT32_DATA),
        (18, "float8_e4m3fnuz", INT32_DATA),
        (19, "float8_e5m2", INT32_DATA),
        (20, "float8_e5m2fnuz", INT32_DATA),
        (21, "uint4", INT32_DATA),
        (22, "int4", INT32_DATA),
        (23, "float4_e2m1fn", INT32_DATA),
        (24, "float8_e8m0fnu", INT32_DATA),
        (25, "uint2", INT32_DATA),
        (26, "int2", INT32_DATA),
        (27, "float6_e2m3fn", INT32_DATA),
        (28, "float6_e3m2fn", INT32_DATA),
    )
}


def type_name(code: int) -> str:
    """Return the name of an element type for people; that of an unknown one is its number.

    Example:
        >>> type_name(16), type_name(8), type_name(99)
        ('bfloat16', 'string', 'type 99')
    """
    if code == STRING:
        return "string"
    return ELEMENT_TYPES[code].dtype.name if code in ELEMENT_TYPES else f"type {code}"


def operator_name(domain: str, name: str, overload: str = "") -> str:
    """Return the name of an operator or function with its domain, where that is not the standard one.

    Example:
        >>> operator_name("", "Conv"), operator_name("com.microsoft", "Gelu")
        ('Conv', 'com.microsoft::Gelu')
    """
    plain = name if domain in STANDARD_DOMAINS else f"{domain}::{name}"
    return f"{plain}:{overload}" if overload else plain
