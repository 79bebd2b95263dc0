"""Places in a tree of plain values: how they are written, and a walk that is bounded."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_DEPTH = 6
MAX_NODES = 200_000
"""Containers that are looked into; the rest of a larger tree is not searched."""

_PLAIN = re.compile(r'[^.\[\]"]+')
_NOT_ENTERED = frozenset({"state", "tokenizer.json", "vocab.json", "added_tokens"})
_LOGS = frozenset({"log_history", "history", "log", "logs"})


class Entry(NamedTuple):
    """A value and its place in the tree.

    Args:
        path: The place as reports write it: ``optimizer.param_groups[0].lr``, ``["config.json"].hidden_size``.
        value: What stands there.
    """

    path: str
    value: Any


def below(path: str, key: str) -> str:
    """Return the path of ``key`` under ``path``.

    Example:
        >>> below("", "args"), below("args", "lr"), below("", "config.json")
        ('args', 'args.lr', '["config.json"]')
    """
    if _PLAIN.fullmatch(key) and key.isprintable() and key == key.strip():
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=not key.isprintable())}]"


def children(entry: Entry) -> Iterator[tuple[str, Entry]]:
    """Yield key and place of what a dict or list holds."""
    if isinstance(entry.value, dict):
        for key, value in entry.value.items():
            yield str(key), Entry(below(entry.path, str(key)), value)
    elif isinstance(entry.value, list | tuple):
        for index, value in enumerate(entry.value):
            yield str(index), Entry(f"{entry.path}[{index}]", value)


def containers(tree: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    """Yield every dict of a tree with the key under which it stands, outermost first; the tree itself under "".

    Long lists are not entered: they are histories, vocabularies or data.
    """
    waiting: list[tuple[str, Entry, int]] = [("", Entry("", dict(tree)), 0)]
    seen: set[int] = set()
    for count, (key, entry, depth) in enumerate(waiting):
        if isinstance(entry.value, dict):
            yield key, entry
        if depth >= MAX_DEPTH or count >= MAX_NODES or len(waiting) >= MAX_NODES:
            continue
        for name, child in children(entry):
            if _is_entered(name, child.value) and id(child.value) not in seen:
                seen.add(id(child.value))  # a value that stands at many places is searched once
                waiting.append((name if isinstance(entry.value, dict) else key, child, depth + 1))


def _is_entered(key: str, value: Any) -> bool:
    longest_list = 64
    if isinstance(value, dict):
        return key not in _NOT_ENTERED
    if not isinstance(value, list | tuple) or len(value) > longest_list or key in _LOGS:
        return False
    return any(isinstance(item, dict) for item in value)


def number(value: Any) -> float | None:
    """Return a finite or infinite number as a float; ``None`` for everything else, truth values included.

    Example:
        >>> number(3), number(True), number("3"), number(float("nan"))
        (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return None if math.isnan(found) else found


def whole(value: Any) -> int | None:
    """Return a whole number of 0 or more, also one that is stored as a float; ``None`` for everything else."""
    found = number(value)
    return int(found) if found is not None and math.isfinite(found) and found >= 0 and found == int(found) else None


def plain(value: Any) -> Any:
    """Return what a member of an enumeration or a saved object stands for; other values as they are.

    Example:
        >>> plain({"__class__": "transformers.SchedulerType", "__args__": ["linear"]})
        'linear'
    """
    if isinstance(value, dict) and "__class__" in value:
        arguments = value.get("__args__")
        if isinstance(arguments, list | tuple) and len(arguments) == 1:
            return plain(arguments[0])
    return value
