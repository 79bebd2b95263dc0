"""Parses a JSON document: strict, bounded, every error with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import LoadError
from diffai_lib_json.locate import duplicate_key, long_integer, number

if TYPE_CHECKING:
    from diffai_core.plugin import Text

_SHOWN_CHARACTERS = 60


class _DuplicateKeyError(ValueError):
    """Two members of an object have one key."""


class _UnrepresentableError(ValueError):
    """A number is too large or too small for a float; the argument is its text."""


def parse_json(text: Text, max_containers: int) -> Any:
    """Return the document that a text is.

    Args:
        text: The text of a file.
        max_containers: Most objects and arrays; they take up to a hundred times their text in memory.

    Raises:
        LoadError: If it is not JSON, repeats a key within an object, holds a number that cannot be represented, or
            holds more containers, or containers in more levels, than can be read.
    """
    n_containers = text.content.count("{") + text.content.count("[")
    if n_containers > max_containers:
        reason = f"holds up to {n_containers:,} objects and arrays; more than {max_containers:,} are not read"
        raise LoadError(text.name, reason)
    try:
        return json.loads(text.content, object_pairs_hook=_object, parse_float=_float)
    except json.JSONDecodeError as error:
        raise text.error(_syntax_reason(error), error.pos) from error
    except _DuplicateKeyError as error:
        key, position = duplicate_key(text.content)
        raise text.error(f"the key {_shown(json.dumps(key))} stands twice in one object", position) from error
    except _UnrepresentableError as error:
        written = str(error)
        position = number(text.content, written)
        raise text.error(f"the number {_shown(written)} is outside the range of 64-bit floats", position) from error
    except RecursionError as error:
        raise LoadError(text.name, "is nested too deeply to be read") from error
    except ValueError as error:  # the digits Python refuses to convert, because it takes quadratic time
        position, n_digits = long_integer(text.content)
        raise text.error(f"an integer of {n_digits:,} digits is too long to be read", position) from error


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise _DuplicateKeyError
    return found


def _float(text: str) -> float:
    value = float(text)
    is_lost = value in {float("inf"), float("-inf")} or (value == 0 and text.lower().partition("e")[0].strip("-0."))
    if is_lost:
        raise _UnrepresentableError(text)
    return value


def _syntax_reason(error: json.JSONDecodeError) -> str:
    reason = f"{error.msg[:1].lower()}{error.msg[1:]}"
    if error.msg == "Extra data":
        reason = "a second document follows the first (JSON Lines?); only one is read"
    return f"not JSON: {reason} (line {error.lineno:,}, column {error.colno:,})"


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
