"""The longest common subsequence of two sequences, as long as it does not cost too much."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

MAX_STEPS = 1_000_000
"""Most elements that the search compares; beyond, equal elements are paired in their order."""
MAX_DISTANCE = 400
"""Most elements that are only in one of the two; memory grows with its square."""


def common(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return pairs of places of equal elements, those of a longest common subsequence where it is affordable.

    Myers, "An O(ND) difference algorithm and its variations", 1986.

    Example:
        >>> common("abcd", "xbd")
        [(1, 1), (3, 2)]
    """
    start, stop = 0, 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    while stop < min(len(old), len(new)) - start and old[len(old) - 1 - stop] == new[len(new) - 1 - stop]:
        stop += 1
    inner_old, inner_new = old[start : len(old) - stop], new[start : len(new) - stop]
    inner = _shortest_edit(inner_old, inner_new)
    if inner is None:
        inner = list(_in_order(inner_old, inner_new))
    pairs = [(k, k) for k in range(start)]
    pairs += [(i + start, j + start) for i, j in inner]
    return pairs + [(len(old) - k, len(new) - k) for k in range(stop, 0, -1)]


def _shortest_edit(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]] | None:
    """Return the pairs of a longest common subsequence; ``None`` if it takes too many steps."""
    if not old or not new:
        return []
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    steps = 0
    for distance in range(min(len(old) + len(new), MAX_DISTANCE) + 1):
        trace.append(dict(furthest))
        for diagonal in range(-distance, distance + 1, 2):
            i = _entry(furthest, diagonal, distance)
            j = i - diagonal
            while i < len(old) and j < len(new) and old[i] == new[j]:
                i, j, steps = i + 1, j + 1, steps + 1
            furthest[diagonal] = i
            if i >= len(old) and j >= len(new):
                return _followed_back(trace, len(old), len(new))
        if steps > MAX_STEPS:
            return None
    return None


def _entry(furthest: dict[int, int], diagonal: int, distance: int) -> int:
    """Return how far into OLD a diagonal is entered: from above where that leads further, else from the left."""
    above, left = furthest.get(diagonal + 1, -1), furthest.get(diagonal - 1, -1)
    return above if diagonal == -distance or (diagonal != distance and left < above) else left + 1


def _followed_back(trace: list[dict[int, int]], i: int, j: int) -> list[tuple[int, int]]:
    pairs = []
    for distance in range(len(trace) - 1, -1, -1):
        diagonal = i - j
        entry = _entry(trace[distance], diagonal, distance)
        while i > entry and j > entry - diagonal:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        if distance:
            came_from = trace[distance]
            above, left = came_from.get(diagonal + 1, -1), came_from.get(diagonal - 1, -1)
            from_above = diagonal == -distance or (diagonal != distance and left < above)
            i, j = (above, above - diagonal - 1) if from_above else (left, left - diagonal + 1)
    return pairs[::-1]


def _in_order(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Yield pairs of equal elements: the first with the first, the second with the second, and so on."""
    places: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for j, element in enumerate(new):
        places[element].append(j)
    for i, element in enumerate(old):
        if places[element]:
            yield i, places[element].popleft()
