"""Element types of OpenVINO, as constants (``u8``) and as ports (``U8``) call them."""

from __future__ import annotations

from diffai_core.plugin import DType, dtype

STORED: dict[str, DType] = {
    code: dtype(name)
    for code, name in (
        ("f64", "float64"),
        ("f32", "float32"),
        ("f16", "float16"),
        ("bf16", "bfloat16"),
        ("f8e4m3", "float8_e4m3fn"),
        ("f8e5m2", "float8_e5m2"),
        ("f8e8m0", "float8_e8m0fnu"),
        ("f4e2m1", "float4_e2m1fn"),
        ("i64", "int64"),
        ("i32", "int32"),
        ("i16", "int16"),
        ("i8", "int8"),
        ("i4", "int4"),
        ("u64", "uint64"),
        ("u32", "uint32"),
        ("u16", "uint16"),
        ("u8", "uint8"),
        ("u4", "uint4"),
        ("u2", "uint2"),
        ("boolean", "bool"),
    )
}
"""Types whose elements lie in the file as the vocabulary says."""

CODED = {"nf4": 4, "u1": 1, "u3": 3, "u6": 6}
"""Bits of the types that are packed in their own ways, or stand for other numbers."""

STRING = "string"

_PORTS = {"FP64": "f64", "FP32": "f32", "FP16": "f16", "BOOL": "boolean", "BIN": "u1"}


def bits_of(code: str) -> int | None:
    """Return the bits of one element of a constant, or ``None`` for a type that OpenVINO does not have."""
    return STORED[code].bits if code in STORED else CODED.get(code)


def port_code(precision: str) -> str:
    """Return what constants call the type that ports call ``precision``.

    Example:
        >>> port_code("FP16")
        'f16'
    """
    return _PORTS.get(precision, precision.lower())


def shown_dtype(code: str) -> str:
    """Return the vocabulary's name of a type, or OpenVINO's own where the vocabulary has none."""
    return STORED[code].name if code in STORED else code
