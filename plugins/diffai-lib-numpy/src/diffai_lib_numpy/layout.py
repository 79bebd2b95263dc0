"""What the ``descr`` of a header means: elements, records and their fields, worked out without NumPy."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from diffai_lib_zip.wording import brief

from diffai_core.plugin import DTYPE_NAMES, DType, dtype, opaque_dtype, shown
from diffai_lib_numpy.elements import Element, Field

MAX_ITEM_BYTES = (1 << 31) - 1
"""Largest element or record of NumPy."""

_SIMPLE = re.compile(r"(?P<order>[<>|=]?)(?P<kind>[a-zA-Z])(?P<size>\d{0,10})(?P<unit>\[\w*\])?", re.ASCII)
_UNIT = re.compile(r"\[(\d{0,9}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)|generic)\]")
_PLAIN = {"f": ("float", (2, 4, 8)), "i": ("int", (1, 2, 4, 8)), "u": ("uint", (1, 2, 4, 8)), "c": ("complex", (8, 16))}
_LONG = {
    "f": ("float", (12, 16)),
    "c": ("complex", (24, 32)),
}  # long double; its layout is the machine's, not the file's
_TEXT = {"S": ("bytes", 1, 0), "a": ("bytes", 1, 0), "U": ("str", 4, 4), "V": ("void", 1, 0)}
_TIMES = {"M": "datetime64", "m": "timedelta64"}


class Layout(NamedTuple):
    """How the bytes of one record (or plain element) are divided.

    Args:
        name: The type in words.
        size: Bytes of one record.
        fields: The parts that hold elements; padding is in none.
        has_objects: Whether the file holds pickled Python objects instead of such records.
    """

    name: str
    size: int
    fields: tuple[Field, ...]
    has_objects: bool = False


def layout_of(descr: Any) -> Layout:
    """Return what the ``descr`` of a header means.

    Args:
        descr: A type string such as ``"<f4"``, or a list of fields as ``numpy.dtype.descr`` gives it.

    Raises:
        ValueError: If NumPy writes no such type; the message says what is wrong.
    """
    if isinstance(descr, str):
        return _simple(descr)
    if isinstance(descr, list):
        return _record(descr)
    raise ValueError(f"the element type {brief(descr)} is neither a string nor a list of fields")


def _simple(text: str) -> Layout:
    if text in DTYPE_NAMES and dtype(text).packed_group == 1:
        return _plain_layout(Element(dtype(text), 0))
    match = _SIMPLE.fullmatch(text)
    if match and match["kind"] == "O":
        return Layout("object", 8, (), has_objects=True)
    element = _element(match["kind"], int(match["size"] or 0), match["unit"] or "", match["order"]) if match else None
    if element is None or element.size > MAX_ITEM_BYTES:
        raise ValueError(f"NumPy has no element type {shown(text)}")
    return _plain_layout(element)


def _plain_layout(element: Element) -> Layout:
    return Layout(element.dtype.name, element.size, (Field("", 0, (), element),))


def _element(kind: str, size: int, unit: str, order: str) -> Element | None:
    found: tuple[DType, int] | None = None
    if kind == "b" and size == 1:
        found = dtype("bool"), 1
    elif kind in _PLAIN and size in _PLAIN[kind][1]:
        found = dtype(f"{_PLAIN[kind][0]}{8 * size}"), size // 2 if kind == "c" else size
    elif kind in _LONG and size in _LONG[kind][1]:
        found = opaque_dtype(f"{_LONG[kind][0]}{8 * size}", size), size // 2 if kind == "c" else size
    elif kind in _TEXT:
        name, width, swap = _TEXT[kind]
        found = opaque_dtype(f"{name}[{size}]", size * width), swap
    elif kind in _TIMES and size == 8 and (not unit or _UNIT.fullmatch(unit)):  # noqa: PLR2004 - they are 64-bit counts
        return Element(opaque_dtype(_TIMES[kind] + unit, size), size if order == ">" else 0)
    if found is None or unit:
        return None
    return Element(found[0], found[1] if order == ">" and found[1] > 1 else 0)


def _record(descr: list[Any]) -> Layout:
    fields: dict[str, Field] = {}
    words: list[str] = []
    offset = 0
    has_objects = False
    for entry in descr:
        name, layout, shape = _field(entry)
        size = layout.size * math.prod(shape)
        if name:
            parts = [_inside(field, name, offset, _row_major(shape, layout.size)) for field in layout.fields]
            if any(part.path in fields for part in parts) or len({p.path for p in parts}) < len(parts):
                raise ValueError(f"two fields have the name {shown(name)}")
            fields.update((part.path, part) for part in parts)
            words.append(f"{name if name.isprintable() else repr(name)}: {layout.name}{list(shape) if shape else ''}")
            has_objects = has_objects or layout.has_objects
        offset += size
        if max(offset, math.prod(max(length, 1) for length in shape)) > MAX_ITEM_BYTES:
            raise ValueError(f"a record with the field {shown(name)} is larger than NumPy allows")
    return Layout(f"struct{{{', '.join(words)}}}", offset, tuple(fields.values()), has_objects)


def _field(entry: Any) -> tuple[str, Layout, tuple[int, ...]]:
    """Return name, layout and shape of an entry of ``descr``; padding has an empty name."""
    if not isinstance(entry, tuple) or len(entry) not in {2, 3}:
        raise ValueError(f"the field {brief(entry)} is not a name, a type and perhaps a shape")
    name = entry[0][1] if isinstance(entry[0], tuple) and len(entry[0]) == 2 else entry[0]  # noqa: PLR2004 - title, name
    shape = entry[2] if len(entry) == 3 else ()  # noqa: PLR2004 - the third is the shape
    if not isinstance(name, str) or not is_shape(shape):
        raise ValueError(f"the field {brief(entry)} has no proper name or shape")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the field name {shown(name)} is not valid Unicode") from error
    layout = layout_of(entry[1])
    is_padding = not name and not shape and layout.name.startswith("void[")
    if not name and not is_padding:
        raise ValueError("a field has no name")
    return name, layout, shape


def is_shape(value: Any) -> bool:
    """Whether ``value`` is a tuple of lengths that NumPy could have: whole numbers, none negative, not too many."""
    return (
        isinstance(value, tuple)
        and len(value) <= 64  # noqa: PLR2004 - NumPy's limit
        and all(type(length) is int and 0 <= length < 1 << 63 for length in value)
    )


def _row_major(shape: tuple[int, ...], size: int) -> tuple[tuple[int, int], ...]:
    return tuple((length, size * math.prod(shape[i + 1 :])) for i, length in enumerate(shape))


def _inside(field: Field, name: str, offset: int, dims: tuple[tuple[int, int], ...]) -> Field:
    return Field(f".{name}{field.path}", offset + field.offset, dims + field.dims, field.element)
