"""What a report shows of a value: plain, and bounded however large, deep or self-containing the value is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from diffai_compare_tree.paths import literal
from diffai_compare_tree.values import BYTES, CONTAINERS, NUMBER, OBJECT, STRING, plain_number, type_name
from diffai_core.plugin import ABSENT

MAX_VALUES = 10_000
"""Values in a container that is shown; a larger one is described in words. Text counts one more per 64 characters."""
MAX_DEPTH = 64
"""Levels of a container that is shown."""
MAX_TEXT = 10_000
"""Characters of a text, or bytes, that are shown; of a longer one there is an excerpt."""

_EXCERPT = 500
_CHARACTERS_PER_VALUE = 64
_MAX_INT_BITS = 14_000  # about 4200 digits: Python writes no longer integers in decimal


class _Weight(NamedTuple):
    n_values: int
    depth: int


_TOO_HEAVY = _Weight(MAX_VALUES + 1, MAX_DEPTH + 1)


class Shown:
    """Turns values into what findings hold: dicts with text keys, lists, and scalars that every reporter can write.

    Remembers the size of containers, which aliases can make appear at many paths.
    """

    def __init__(self) -> None:
        self._weights: dict[int, tuple[object, _Weight]] = {}

    def __call__(self, value: Any, around: int = 0) -> tuple[Any, bool]:
        """Return the value as it is shown, and whether that is all of it.

        Args:
            value: Any value of a tree, or ``ABSENT``.
            around: Position in a text around which an excerpt is taken.
        """
        if value is ABSENT:
            return value, True
        if type_name(value) in CONTAINERS:
            weight = self._weigh(value)
            if weight.n_values > MAX_VALUES or weight.depth > MAX_DEPTH:
                noun = "entries" if type_name(value) == OBJECT else "elements"
                return f"<{type_name(value)} of {len(value):,} {noun}, too large to show>", False
            return _plain(value), True
        return _plain_scalar(value, around)

    def _weigh(self, root: Any) -> _Weight:
        """Return number of values and depth of a container, both cut off above what can be shown.

        Each container is looked into once, whatever the number of paths to it.
        """
        known = self._known_weight(root)
        if known is not None:
            return known
        stack = [_Open(root)]
        while True:
            top = stack[-1]
            for item in top.items:
                known = self._known_weight(item)
                if known is None:
                    stack.append(_Open(item))
                    self._weights[id(item)] = (item, _TOO_HEAVY)  # until it is known; so a cycle is too heavy
                    break
                top.add(known)
            else:
                stack.pop()
                self._weights[id(top.container)] = (top.container, top.weight)
                if not stack:
                    return top.weight
                stack[-1].add(top.weight)

    def _known_weight(self, item: Any) -> _Weight | None:
        if isinstance(item, str | bytes):
            return _Weight(1 + len(item) // _CHARACTERS_PER_VALUE, 0)
        if type_name(item) not in CONTAINERS:
            return _Weight(1, 0)
        known = self._weights.get(id(item))
        return None if known is None else known[1]


class _Open:
    """A container whose parts are being weighed."""

    def __init__(self, container: Any) -> None:
        self.container = container
        self.items = _parts(container)
        self.weight = _Weight(1, 1)

    def add(self, part: _Weight) -> None:
        n_values = min(self.weight.n_values + part.n_values, _TOO_HEAVY.n_values)
        depth = min(max(self.weight.depth, part.depth + 1), _TOO_HEAVY.depth)
        self.weight = _Weight(n_values, depth)


def _parts(container: Any) -> Iterator[Any]:
    return chain(container.keys(), container.values()) if isinstance(container, Mapping) else iter(container)


def _plain(value: Any) -> Any:
    """Return a copy made of dicts with text keys, lists and plain scalars; only for values that were weighed."""
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = key if isinstance(key, str) else literal(key)
            while name in found:  # 1 and "1" are two keys
                name = f"{name} ({type_name(key)})"
            found[name] = _plain(item)
        return found
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _plain_scalar(value, 0)[0]


def _plain_scalar(value: Any, around: int) -> tuple[Any, bool]:
    if value is None or type(value) in {bool, float}:
        return value, True
    name = type_name(value)
    return _SHOWN_AS[name](value, around) if name in _SHOWN_AS else (f"<{name}>", False)


def _number(value: Any, _around: int) -> tuple[Any, bool]:
    number = plain_number(value)
    if isinstance(number, float):
        return float(number), True
    if not isinstance(number, int):
        return str(number), True
    if number.bit_length() <= _MAX_INT_BITS:
        return int(number), True
    return f"<integer of {number.bit_length():,} bits>", False


def _text(value: Any, around: int) -> tuple[Any, bool]:
    text = str(value)
    if len(text) <= MAX_TEXT:
        return text, True
    start = max(around - _EXCERPT // 2, 0)
    end = start + _EXCERPT
    before, after = "…" if start else "", "…" if end < len(text) else ""
    return f"{before}{text[start:end]}{after} ({len(text):,} characters)", False


def _bytes(value: Any, around: int) -> tuple[Any, bool]:
    if len(value) <= MAX_TEXT:
        return bytes(value), True
    start = max(around - _EXCERPT // 4, 0)  # two digits a byte
    return f"<{len(value):,} bytes; from {start:,}: {value[start : start + _EXCERPT // 2].hex()}…>", False


def _date(value: Any, _around: int) -> tuple[Any, bool]:
    return value.isoformat(), True


def _set(value: Any, _around: int) -> tuple[Any, bool]:
    return sorted(literal(item) for item in value)[:MAX_VALUES], len(value) <= MAX_VALUES


_SHOWN_AS: dict[str, Callable[[Any, int], tuple[Any, bool]]] = {
    NUMBER: _number,
    STRING: _text,
    BYTES: _bytes,
    "Date": _date,
    "DateTime": _date,
    "Time": _date,
    "Duration": _text,
    "Complex": _text,
    "Set": _set,
}


def first_difference(old: Any, new: Any) -> int:
    """Return the position at which two texts or two byte strings part; the length of the shorter if it never does."""
    step = 1 << 16
    length = min(len(old), len(new))
    start = next((i for i in range(0, length, step) if old[i : i + step] != new[i : i + step]), length)
    return next((i for i in range(start, min(start + step, length)) if old[i] != new[i]), min(start + step, length))
