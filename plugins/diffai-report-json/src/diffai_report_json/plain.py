"""Turns any value a finding may hold into one that JSON can hold, without losing what it said."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from functools import singledispatch
from typing import Any, overload

from diffai_core.plugin import ABSENT, DType

MAX_DEPTH = 100
"""Levels of nesting that are written; readers of JSON and YAML refuse or overflow on much deeper input."""

TOO_DEEP = f"<nested deeper than {MAX_DEPTH} levels>"
CYCLE = "<contains itself>"

_MAX_INT_BITS = 14_000  # about 4200 digits: Python neither writes nor reads longer decimal integers by default
_SMALL = 1 << 64
_SURROGATE = re.compile("[\ud800-\udfff]")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@overload
def plain(value: str) -> str: ...
@overload
def plain(value: dict[Any, Any]) -> dict[str, Any]: ...
@overload
def plain(value: list[Any]) -> list[Any]: ...
@overload
def plain(value: object) -> Any: ...
def plain(value: object) -> Any:
    r"""Return ``value`` as dict, list, str, int, float, bool or ``None``.

    - NaN and the infinities become ``"NaN"``, ``"Infinity"``, ``"-Infinity"``.
    - Bytes become ``{"bytes": length, "blake2b": 256-bit digest in hex}``.
    - Integers stay exact; those too long for decimal readers become a hexadecimal string.
    - A lone surrogate, which no UTF-8 text can hold, becomes the six characters of its escape: ``\udc80``.
    - A complex number becomes ``{"real": …, "imag": …}``; arrays and NumPy scalars what their ``tolist`` says.
    - Records become objects, sets sorted lists, anything else its ``str`` without memory addresses.
    - Nesting ends after ``MAX_DEPTH`` levels, and where a container holds itself, with a string that says so.

    Example:
        >>> plain({"loss": float("nan"), 3: (1, 2)})
        {'loss': 'NaN', '3': [1, 2]}
    """
    return _convert(value, set())


# Each converter gets the ids of the containers the value stands in.


@singledispatch
def _convert(value: Any, inside: set[int]) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _convert({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, inside)
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and of what looks like it
        items = value.tolist()
        return _other(value) if type(items) is type(value) else _convert(items, inside)
    return _other(value)


@_convert.register
def _none(value: None, _inside: set[int]) -> None:
    return value


@_convert.register
def _bool(value: bool, _inside: set[int]) -> bool:
    return value


@_convert.register
def _integer(value: int, _inside: set[int]) -> int | str:
    return int(value) if value.bit_length() <= _MAX_INT_BITS else hex(value)


@_convert.register
def _number(value: float, _inside: set[int]) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


@_convert.register
def _complex(value: complex, inside: set[int]) -> dict[str, Any]:
    return {"real": _number(value.real, inside), "imag": _number(value.imag, inside)}


@_convert.register
def _string(value: str, _inside: set[int]) -> str:
    if value.isascii():
        return str.__str__(value)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", value)


@_convert.register
def _enum(value: Enum, inside: set[int]) -> Any:
    return None if value is ABSENT else _convert(value.value, inside)


@_convert.register
def _dtype(value: DType, _inside: set[int]) -> str:
    return value.name


@_convert.register(bytes)
@_convert.register(bytearray)
@_convert.register(memoryview)
def _bytes(value: Any, _inside: set[int]) -> dict[str, Any]:
    data = bytes(value)
    return {"bytes": len(data), "blake2b": hashlib.blake2b(data, digest_size=32).hexdigest()}


@_convert.register(list)
@_convert.register(tuple)
def _sequence(value: Any, inside: set[int]) -> Any:
    if hasattr(value, "_asdict"):
        return _convert(value._asdict(), inside)
    refusal = _enter(value, inside)
    if refusal:
        return refusal
    items = [item if _is_plain(item) else _convert(item, inside) for item in value]
    inside.discard(id(value))
    return items


@_convert.register(AbstractSet)
def _set(value: Any, inside: set[int]) -> Any:
    items = _convert(list(value), inside)
    return sorted(items, key=json.dumps) if isinstance(items, list) else items


@_convert.register(Mapping)
def _mapping(value: Any, inside: set[int]) -> Any:
    refusal = _enter(value, inside)
    if refusal:
        return refusal
    found: dict[str, Any] = {}
    for key, item in value.items():
        if item is not ABSENT:
            name = key if type(key) is str and key.isascii() else _key(key)
            name = _free(name, key, found) if name in found else name
            found[name] = item if _is_plain(item) else _convert(item, inside)
    inside.discard(id(value))
    return found


def _is_plain(value: Any) -> bool:
    """Whether ``value`` can stand as it is; a short cut for what reports are full of."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    return (kind is str and value.isascii()) or (kind is int and -_SMALL < value < _SMALL)


def _enter(container: object, inside: set[int]) -> str:
    """Note that conversion goes into ``container``, or say why it must not."""
    if id(container) in inside:
        return CYCLE
    if len(inside) >= MAX_DEPTH:
        return TOO_DEEP
    inside.add(id(container))
    return ""


def _key(key: object) -> str:
    """Return the key of a mapping as text: strings as they are, anything else as JSON would write the value."""
    converted = plain(key)
    return converted if isinstance(converted, str) else json.dumps(converted)


def _free(name: str, key: object, taken: Mapping[str, Any]) -> str:
    """Return ``name``, extended where it is taken: 1 and "1" are two keys of a YAML config."""
    while name in taken:
        name += f" ({type(key).__name__})"
    return name


def _other(value: object) -> str:
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, re.Pattern):
        return plain(str(value.pattern))
    return plain(_ADDRESS.sub("", str(value)))
