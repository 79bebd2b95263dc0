"""Numbers, names and types of the fields of Core ML's messages, from the table beside this file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple


class FieldType(NamedTuple):
    """A field of a message.

    Args:
        name: Its name.
        type: A scalar type of protobuf, a message, or ``=`` and an enumeration; of a map, that of its values.
        repeated: Whether it may be there several times.
        key: Type of the keys of a map; empty if it is none.
    """

    name: str
    type: str
    repeated: bool
    key: str


@cache
def fields_of(message: str) -> dict[int, FieldType]:
    """Return the fields of a message by number.

    Raises:
        KeyError: If there is no such message.

    Example:
        >>> fields_of("WeightParams")[1]
        FieldType(name='floatValue', type='float', repeated=True, key='')
    """
    found = {}
    for entry in _entries(message):
        number, name, kind = entry.split(" ")
        key, _, value = kind.strip("{}").partition(":") if kind.startswith("{") else ("", "", kind.removesuffix("[]"))
        found[int(number)] = FieldType(name, value, kind.endswith("[]"), key)
    return found


@cache
def names_of(enumeration: str) -> dict[int, str]:
    """Return the names of the values of an enumeration, which begins with ``=``."""
    return {int(number): name for number, _, name in (entry.partition(" ") for entry in _entries(enumeration))}


def _entries(name: str) -> list[str]:
    line = _lines()[name]
    return line.split("|") if line else []


@cache
def _lines() -> dict[str, str]:
    text = Path(__file__).with_name("schema.txt").read_text(encoding="utf-8")
    return {name: entries for name, _, entries in (line.partition("|") for line in text.splitlines())}
