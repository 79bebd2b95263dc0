"""Finds the place of what the parser of the standard library refuses without saying where.

Only for text that is JSON up to that place; called once, when the file is refused anyway.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Possessive, so that the length of a string costs no memory.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|-?[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?[0-9]++)?+|[][{}:]', re.DOTALL)


def duplicate_key(text: str) -> tuple[str, int]:
    """Return the first key that stands in its object a second time, and the position of that."""
    keys_of_open: list[set[str]] = []  # an empty set for each open array
    name: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        sign = token[0][0]
        if sign == '"':
            name = token
        elif sign in "{[":
            keys_of_open.append(set())
        elif sign in "}]":
            keys_of_open.pop()
        elif sign == ":" and name:
            key = json.loads(name[0])
            if key in keys_of_open[-1]:
                return key, name.start()
            keys_of_open[-1].add(key)
    raise LookupError("no key is repeated")


def number(text: str, written: str) -> int:
    """Return the position of the first number written like this."""
    return next(token.start() for token in _numbers(text) if token[0] == written)


def long_integer(text: str) -> tuple[int, int]:
    """Return position and number of digits of the first integer that Python refuses to convert."""
    limit = sys.get_int_max_str_digits()
    for token in _numbers(text):
        digits = token[0].lstrip("-")
        if digits.isdigit() and len(digits) > limit:
            return token.start(), len(digits)
    raise LookupError("no integer is that long")


def _numbers(text: str) -> Iterator[re.Match[str]]:
    return (token for token in _TOKEN.finditer(text) if token[0][0] in "-0123456789")
