"""Lists and mappings in a few words: small ones in full, long ones as how many items they hold."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from diffai_report_text.literals import literal

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ITEMS = 6
"""Items of a list or mapping that are written out."""

_MOST_SCALARS = 12
_MOST_DEPTH = 4


def nested(value: Any, scalar: Callable[[Any], str]) -> str:
    """Return a value on one line; a list or mapping that is long, or holds much, as how many items it has.

    Args:
        value: Anything a finding may hold.
        scalar: Writes what is no list or mapping.

    Example:
        >>> nested([{"block": 0, "share": 0.5}], str), nested(list(range(148)), str), nested({"a": [1, 2]}, str)
        ('[{block=0, share=0.5}]', '[148]', '{a=[1, 2]}')
    """
    if not _is_container(value):
        return scalar(value)
    if not _is_small(value):
        return f"{{{len(value)}}}" if isinstance(value, Mapping) else f"[{len(value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)}={nested(item, scalar)}' for key, item in value.items())}}}"
    items = [nested(item, scalar) for item in value]
    return f"[{', '.join(sorted(items) if isinstance(value, AbstractSet) else items)}]"


def _is_container(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple, AbstractSet))


def _is_small(value: Any) -> bool:
    return _scalars(value, 0) <= _MOST_SCALARS


def _scalars(value: Any, depth: int) -> int:
    """Return how many scalars a value holds, or more than are written out where it is long, deep or circular."""
    if not _is_container(value):
        return 1
    if len(value) > MOST_ITEMS or depth >= _MOST_DEPTH:
        return _MOST_SCALARS + 1
    return sum(_scalars(item, depth + 1) for item in (value.values() if isinstance(value, Mapping) else value))


def _key(key: object) -> str:
    bare = isinstance(key, str) and key.isprintable() and key and not set(key) & set(' ,=:{}[]"')
    return str(key) if bare else literal(key)
