"""The element types of the format, by the names that a header gives them (safetensors 0.8)."""

from __future__ import annotations

from diffai_core.plugin import DType, dtype

DTYPES: dict[str, DType] = {
    code: dtype(name)
    for code, name in (
        ("BOOL", "bool"),
        ("F4", "float4_e2m1fn"),
        ("F6_E2M3", "float6_e2m3fn"),
        ("F6_E3M2", "float6_e3m2fn"),
        ("F8_E4M3", "float8_e4m3fn"),
        ("F8_E4M3FNUZ", "float8_e4m3fnuz"),
        ("F8_E5M2", "float8_e5m2"),
        ("F8_E5M2FNUZ", "float8_e5m2fnuz"),
        ("F8_E8M0", "float8_e8m0fnu"),
        ("F16", "float16"),
        ("BF16", "bfloat16"),
        ("F32", "float32"),
        ("F64", "float64"),
        ("C64", "complex64"),
        ("I8", "int8"),
        ("I16", "int16"),
        ("I32", "int32"),
        ("I64", "int64"),
        ("U8", "uint8"),
        ("U16", "uint16"),
        ("U32", "uint32"),
        ("U64", "uint64"),
    )
}
