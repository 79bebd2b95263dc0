"""Opens a JSON file: strict, bounded, every error with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, LoadError, Text, read_text
from diffai_load_json.locate import duplicate_key, long_integer, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Source

MAX_BYTES = 256 << 20
"""Largest file that is read."""
MAX_CONTAINERS = 4_000_000
"""Most objects and arrays in a file; they take up to a hundred times their text."""
ROOT_KEY = "$"
"""Key of a document that is not an object."""

_SHOWN_CHARACTERS = 60


class _DuplicateKeyError(ValueError):
    """Two members of an object have one key."""


class _UnrepresentableError(ValueError):
    """A number is too large or too small for a float; the argument is its text."""


def open_json(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a JSON file as a tree.

    An object is the tree itself. Any other document, and an object with the key ``$``, stands under ``$``.

    Raises:
        LoadError: If it is not JSON, repeats a key within an object, holds a number that cannot be represented,
            or is larger or nested deeper than can be read.
    """
    file = source.open()
    try:
        tree = as_tree(_parse(read_text(file, MAX_BYTES)))
    except BaseException:
        file.close()
        raise
    return Artifact(name=source.name, format="json", tree=tree, files=(file,))


def as_tree(document: Any) -> dict[str, Any]:
    """Return a document as a mapping, so that no two different documents give the same."""
    if isinstance(document, dict) and ROOT_KEY not in document:
        return document
    return {ROOT_KEY: document}


def _parse(text: Text) -> Any:
    n_containers = text.content.count("{") + text.content.count("[")
    if n_containers > MAX_CONTAINERS:
        reason = f"holds up to {n_containers:,} objects and arrays; more than {MAX_CONTAINERS:,} are not read"
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
