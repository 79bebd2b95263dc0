"""Which elements of the core's vocabulary a datatype consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_lib_numpy.elements import Element, Field

from diffai_core.plugin import DType, dtype, opaque_dtype
from diffai_lib_hdf5.types import (
    ARRAY,
    BITFIELD,
    COMPLEX,
    COMPOUND,
    ENUM,
    FLOAT,
    INTEGER,
    OPAQUE,
    REFERENCE,
    STRING,
    TIME,
    VARIABLE,
    FloatLayout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_lib_hdf5.types import Type

MAX_ELEMENT_BYTES = 16 << 20
"""Largest element that is read."""
MAX_FIELDS = 100_000
"""Most fields of a record, those of records inside included."""

_WIDTHS = (1, 2, 4, 8)
_FLOATS = {
    FloatLayout(64, 52, 11, 52, 1023): "float64",
    FloatLayout(32, 23, 8, 23, 127): "float32",
    FloatLayout(16, 10, 5, 10, 15): "float16",
    FloatLayout(16, 7, 8, 7, 127): "bfloat16",
    FloatLayout(8, 3, 4, 3, 7): "float8_e4m3fn",
    FloatLayout(8, 2, 5, 2, 15): "float8_e5m2",
}
_COMPLEX = {"float32": "complex64", "float64": "complex128"}
_PARTS = ({"r", "i"}, {"real", "imag"})
_TRUTH = {"FALSE": b"\0", "TRUE": b"\1"}


def element_of(type_: Type) -> Element | None:
    """Return the element that a type is, ``None`` for one that consists of several or has no fixed bytes."""
    find = _ELEMENTS.get(type_.kind)
    return None if find is None or type_.size > MAX_ELEMENT_BYTES else find(type_)


def is_truth(type_: Type) -> bool:
    """Whether an enumeration is what h5py writes for booleans."""
    return type_.kind == ENUM and type_.size == 1 and dict(type_.values) == _TRUTH


def _turned(type_: Type) -> int:
    return type_.size if type_.big_endian and type_.size > 1 else 0


def _integer(type_: Type) -> Element:
    if type_.size in _WIDTHS and type_.whole:
        return Element(dtype(f"{'int' if type_.signed else 'uint'}{8 * type_.size}"), _turned(type_))
    return Element(_opaque("integer", type_), _turned(type_))


def _enum(type_: Type) -> Element | None:
    if is_truth(type_):
        return Element(dtype("bool"), 0)
    return None if type_.base is None else element_of(type_.base)


def _float(type_: Type) -> Element:
    name = _float_name(type_)
    return Element(dtype(name) if name else _opaque("float", type_), _turned(type_))


def _time(type_: Type) -> Element:
    return Element(_opaque("time", type_), _turned(type_))


def _bytes(type_: Type) -> Element:
    word = "bytes" if type_.kind == STRING else "void"
    return Element(opaque_dtype(f"{word}[{type_.size}]", type_.size), 0)


def _opaque(word: str, type_: Type) -> DType:
    return opaque_dtype(f"{word}{8 * type_.size}", type_.size)


def _float_name(type_: Type) -> str:
    layout = type_.float_layout
    fits = layout is not None and layout.precision == 8 * type_.size
    return _FLOATS.get(layout, "") if fits and layout is not None else ""


def _complex(type_: Type) -> Element | None:
    """Return the element of two equal floats, as HDF5 2 has it, or as NumPy and MATLAB write it."""
    base = type_.base
    if type_.kind == COMPOUND:
        members = type_.members
        if {member.name for member in members} not in _PARTS:
            return None
        first, second = members
        half = type_.size // 2
        base = first.type
        if (first.offset, second.offset) != (0, half) or first.type != second.type or 2 * base.size != type_.size:
            return None
        if first.name not in {"r", "real"}:
            return None
    elif type_.kind != COMPLEX:
        return None
    assert base is not None
    name = _COMPLEX.get(_float_name(base)) if base.kind == FLOAT else None
    return Element(dtype(name), base.size if base.big_endian else 0) if name else None


_ELEMENTS: dict[int, Callable[[Type], Element | None]] = {
    **dict.fromkeys((INTEGER, BITFIELD), _integer),
    **dict.fromkeys((STRING, OPAQUE), _bytes),
    **dict.fromkeys((COMPOUND, COMPLEX), _complex),
    ENUM: _enum,
    FLOAT: _float,
    TIME: _time,
}


def fields_of(type_: Type) -> tuple[list[Field], list[str]]:
    """Return the fields of a type, and the paths of the parts that have no fixed bytes of their own.

    Raises:
        ValueError: If there are more than ``MAX_FIELDS``.
    """
    fields: list[Field] = []
    others: list[str] = []
    _add_fields(type_, "", 0, (), fields, others)
    return fields, others


def _add_fields(
    type_: Type, path: str, offset: int, dims: tuple[tuple[int, int], ...], fields: list[Field], others: list[str]
) -> None:
    if len(fields) + len(others) >= MAX_FIELDS:
        raise ValueError(f"more than {MAX_FIELDS:,} fields in a record")
    element = element_of(type_)
    if element is not None:
        fields.append(Field(path, offset, dims, element))
    elif type_.kind == COMPOUND:
        for member in type_.members:
            _add_fields(member.type, f"{path}.{member.name}", offset + member.offset, dims, fields, others)
    elif type_.kind == ARRAY and type_.base is not None:
        inner: tuple[tuple[int, int], ...] = ()
        stride = type_.base.size
        for length in reversed(type_.dims):
            inner = ((length, stride), *inner)
            stride *= length
        _add_fields(type_.base, path, offset, (*dims, *inner), fields, others)
    else:
        others.append(path)


def words(type_: Type) -> str:
    """Return what a type is, in words that are the same for equal types."""
    if type_.kind == COMPOUND and element_of(type_) is None:
        return f"struct{{{', '.join(f'{member.name}: {words(member.type)}' for member in type_.members)}}}"
    if type_.kind == ARRAY and type_.base is not None:
        return f"{words(type_.base)}{list(type_.dims)}"
    if type_.kind == VARIABLE:
        return "string" if type_.is_text or type_.base is None else f"sequence of {words(type_.base)}"
    if type_.kind == REFERENCE:
        return "reference"
    if type_.kind == ENUM and type_.base is not None and not is_truth(type_):
        return f"enum {words(type_.base)}{{{', '.join(name for name, _ in type_.values)}}}"
    element = element_of(type_)
    text = element.dtype.name if element else f"{8 * type_.size} bits"
    return f"{text} big-endian" if element and element.swap else text
