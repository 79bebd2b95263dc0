"""Whether two trees of plain values are the same, told in bounded time."""

from __future__ import annotations

from typing import Any

_MOST_PLACES = 500_000


def same_tree(old: Any, new: Any) -> bool:
    """Whether two trees are the same; not, if they are too large to tell.

    Pairs of shared values are looked at once, and nothing recurs: no tree takes exponential time, and one that holds
    itself comes to an end.

    Example:
        >>> same_tree({"a": [1, float("nan")]}, {"a": [1, float("nan")]}), same_tree({"a": 1}, {"a": True})
        (True, False)
    """
    waiting = [(old, new)]
    seen: set[tuple[int, int]] = set()
    while waiting:
        left, right = waiting.pop()
        if left is right or (id(left), id(right)) in seen:
            continue
        if type(left) is not type(right) or len(seen) >= _MOST_PLACES:
            return False
        if isinstance(left, dict):
            if left.keys() != right.keys():
                return False
            waiting += ((left[key], right[key]) for key in left)
        elif isinstance(left, list | tuple):
            if len(left) != len(right):
                return False
            waiting += zip(left, right, strict=True)
        elif not _same_leaf(left, right):
            return False
        else:
            continue
        seen.add((id(left), id(right)))
    return True


def _same_leaf(left: Any, right: Any) -> bool:
    is_nan = isinstance(left, float) and left != left and right != right  # noqa: PLR0124 - NaN
    return is_nan or bool(left == right)
