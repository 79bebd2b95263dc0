"""How a place in a tree is written, and the one order in which keys of any type are sorted."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from datetime import date, time
from numbers import Real
from typing import Any, NamedTuple

LONGEST_KEY = 200
"""Characters of a key that a path holds; of a longer one it holds the beginning and a digest."""

_MAX_DECIMAL_BITS = 14_000  # Python writes no longer integers in decimal
_PLAIN = re.compile(r'[^.\[\]"]+')


class Path(NamedTuple):
    """A place in a tree, linked to the one above it, so that a deep walk builds no long strings.

    Args:
        parent: The container; ``None`` for the tree itself.
        segment: This step as it is written: ``.key``, ``["key"]``, ``[0]`` or ``[id=1]``.
    """

    parent: Path | None
    segment: str

    def __str__(self) -> str:
        segments = []
        path: Path | None = self
        while path is not None:
            segments.append(path.segment)
            path = path.parent
        return "".join(reversed(segments)).removeprefix(".")


def key_segment(key: Any, number: int = 0) -> str:
    """Return how a step to ``key`` of a mapping is written, differently for any two keys.

    Args:
        key: The key.
        number: 1 for the second key of its mapping that looks like this, as a second NaN does, 2 for the third …

    Example:
        >>> key_segment("lr"), key_segment("a.b"), key_segment(""), key_segment(3)
        ('.lr', '["a.b"]', '[""]', '[3]')
    """
    return f".{key}" if isinstance(key, str) and _is_plain(key) else f"[{literal(key)}{_rank(number)}]"


def id_segment(id_key: str, value: Any, number: int) -> str:
    """Return how a step to the list element with ``value`` under ``id_key`` is written.

    Args:
        id_key: The key.
        value: The scalar under it.
        number: 0 for the first element with this value in its list, 1 for the second …

    Example:
        >>> id_segment("id", 1, 0), id_segment("id", "1", 1)
        ('[id=1]', '[id="1" #2]')
    """
    name = id_key if _is_plain(id_key) else literal(id_key)
    return f"[{name}={literal(value)}{_rank(number)}]"


def _rank(number: int) -> str:
    return f" #{number + 1}" if number else ""


def _is_plain(key: str) -> bool:
    return bool(_PLAIN.fullmatch(key)) and key.isprintable() and key == key.strip() and len(key) <= LONGEST_KEY


def literal(key: Any) -> str:
    """Return a key as it stands between brackets: text in quotes, everything else without."""
    if isinstance(key, str):
        return _quoted(key)
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if isinstance(key, Real):
        return _shortened(_number(key))
    return key.isoformat() if isinstance(key, date | time) else _shortened(repr(key))


def _quoted(key: str) -> str:
    import json

    text = json.dumps(key, ensure_ascii=not key.isprintable())
    return text if len(key) <= LONGEST_KEY else _shortened(text)


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_KEY:
        return text
    import hashlib

    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{text[: LONGEST_KEY // 2]}…#{digest}"


def _number(key: Any) -> str:
    """Return a number so that equal keys, such as 1 and 1.0, look alike."""
    if isinstance(key, float) and not math.isfinite(key):
        return "NaN" if math.isnan(key) else "Infinity" if key > 0 else "-Infinity"
    if key != int(key):
        return str(key)
    return str(int(key)) if int(key).bit_length() < _MAX_DECIMAL_BITS else hex(key)


def identity(key: Any) -> tuple[int, Any]:
    """Return what makes ``key`` the same key on both sides; such tuples can be hashed and sorted, whatever the types.

    1 and 1.0 are the same key, 1 and ``True`` are not, and all NaNs are one.
    """
    if isinstance(key, str):
        return 4, key
    if key is None:
        return 0, 0
    if isinstance(key, bool):
        return 1, key
    if isinstance(key, Real):
        return (2, 0) if key != key else (3, key)  # noqa: PLR0124 - true of NaN only
    return (5, key) if isinstance(key, bytes) else (6, f"{type(key).__name__} {literal(key)}")


def is_id(value: Any) -> bool:
    """Whether ``value`` can tell the elements of a list apart: a scalar, not a container."""
    return value is None or (isinstance(value, str | bytes | Real | date | time) and isinstance(value, Hashable))
