"""PyTorch's element types in the vocabulary of diffai."""

from __future__ import annotations

from typing import NamedTuple

from diffai_core.plugin import DType, dtype, opaque_dtype


class TorchType(NamedTuple):
    """An element type of PyTorch.

    Args:
        name: What PyTorch calls it, without ``torch.``.
        dtype: What it is to diffai.
        itemsize: Bytes of one element of a storage.
        per_item: Elements of ``dtype`` in it.
    """

    name: str
    dtype: DType
    itemsize: int
    per_item: int = 1


def _plain(name: str, of: str | None = None) -> TorchType:
    found = dtype(of or name)
    return TorchType(name, found, found.bits // 8)


def _opaque(name: str, itemsize: int = 1) -> TorchType:
    return TorchType(name, opaque_dtype(name, itemsize), itemsize)


_ALL = (
    *map(_plain, ("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool")),
    *map(_plain, ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")),
    *map(_plain, ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")),
    TorchType("float4_e2m1fn_x2", dtype("float4_e2m1fn"), 1, 2),
    _opaque("complex32", 4),
    *map(_opaque, ("bits8", "bits1x8", "bits2x4", "bits4x2")),
    _opaque("bits16", 2),
    *(_opaque(f"{sign}int{bits}") for sign in ("", "u") for bits in range(1, 8)),
    _plain("qint8", "int8"),
    _plain("quint8", "uint8"),
    _plain("qint32", "int32"),
    TorchType("quint4x2", dtype("uint4"), 1, 2),
    TorchType("quint2x4", dtype("uint2"), 1, 4),
)
TYPES: dict[str, TorchType] = {one.name: one for one in _ALL}
TYPES |= {
    "double": TYPES["float64"],
    "float": TYPES["float32"],
    "half": TYPES["float16"],
    "long": TYPES["int64"],
    "int": TYPES["int32"],
    "short": TYPES["int16"],
    "cdouble": TYPES["complex128"],
    "cfloat": TYPES["complex64"],
    "chalf": TYPES["complex32"],
}

_STORAGES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
    "Untyped": "uint8",
}
STORAGES: dict[str, TorchType] = {f"{name}Storage": TYPES[of] for name, of in _STORAGES.items()}
"""Types by the name of a storage's class."""

QUANTIZED = frozenset({"qint8", "quint8", "qint32", "quint4x2", "quint2x4"})

_NUMBERED = {
    **dict(enumerate(("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex32"), 1)),
    **dict(enumerate(("complex64", "complex128", "bool", "bfloat16"), 10)),
    **dict(enumerate(("uint16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"), 28)),
    **dict(enumerate(("float8_e8m0fnu", "uint32", "uint64"), 33)),
}
EXPORTED: dict[int, TorchType] = {number: TYPES[name] for number, name in _NUMBERED.items()}
"""Types by their number in an exported program (schema 8)."""
