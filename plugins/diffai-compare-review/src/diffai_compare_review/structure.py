"""Tensors that were fused, split, resized or added as adapters."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_review.causes import Cause
from diffai_compare_review.look import evenly
from diffai_compare_review.matrix import matrix
from diffai_compare_review.places import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from diffai_compare_review.effort import Effort
    from diffai_compare_review.look import Look
    from diffai_compare_review.matrix import Matrix
    from diffai_core.plugin import TensorRef

_FUSED: Mapping[str, tuple[str, ...]] = {"qkv": ("q", "k", "v"), "kv": ("k", "v"), "gate_up": ("gate", "up")}
_MOST_FUSED = 12
"""Fused tensors that are held against their parts; the others are told by their names and shapes."""
_ASKED = 48
_KEY = 8
_MOST_ROWS = 1 << 15
_MOST_COLUMNS = 1 << 13
"""Columns that are compared of a row."""


class Fusion(NamedTuple):
    """One tensor that holds others.

    Args:
        whole: The tensor that holds them.
        parts: What it holds.
        layout: ``concatenated`` in this order, ``interleaved``, or ``not looked at``.
        into_new: Whether NEW has the whole.
    """

    whole: TensorRef
    parts: tuple[TensorRef, ...]
    layout: str
    into_new: bool


def fusions(added: Sequence[TensorRef], removed: Sequence[TensorRef], effort: Effort) -> list[Fusion]:
    """Return which tensors of one side hold those of the other, value for value."""
    found: list[Fusion] = []
    for wholes, parts, into_new in ((added, removed, True), (removed, added, False)):
        n_looked = 0
        for whole, some in _candidates(wholes, parts):
            looked = effort.full or n_looked < _MOST_FUSED
            layout = _layout(whole, some, effort) if looked else "not looked at"
            n_looked += looked
            if layout:
                found.append(Fusion(whole, some, layout, into_new))
    seen = {fusion.layout for fusion in found}
    return found if seen - {"not looked at"} else []


def _candidates(
    wholes: Iterable[TensorRef], parts: Iterable[TensorRef]
) -> Iterator[tuple[TensorRef, tuple[TensorRef, ...]]]:
    """Yield each tensor whose role says that it holds others, with those of the same block, layer and part."""
    by_place: defaultdict[Any, dict[str, TensorRef]] = defaultdict(dict)
    for ref in parts:
        where = place(ref.name)
        by_place[where.block, where.part, where.expert][where.base or where.role] = ref
    for ref in wholes:
        where = place(ref.name)
        roles = _FUSED.get(where.base or where.role, ())
        there = by_place.get((where.block, where.part, where.expert), {})
        if roles and all(role in there for role in roles):
            some = tuple(there[role] for role in roles)
            if sum(part.numel for part in some) == ref.numel:
                yield ref, some


def _layout(whole: TensorRef, parts: tuple[TensorRef, ...], effort: Effort) -> str:
    """Return how the parts lie in the whole; empty if their values are not there."""
    if any(part.dtype != whole.dtype for part in parts):
        return ""
    fused, pieces = matrix(whole, effort), [matrix(part, effort) for part in parts]
    if len(whole.shape) == 1:
        fused, pieces = fused.T, [piece.T for piece in pieces]
    for side in (fused, fused.T):
        for turned in (pieces, [piece.T for piece in pieces]):
            if all(piece.shape[1] == side.shape[1] for piece in turned) and sum(map(len, turned)) == len(side):
                layout = _concatenated(side, turned) or _interleaved(side, turned)
                if layout:
                    return layout
    return ""


def _concatenated(fused: Matrix, pieces: Sequence[Matrix]) -> str:
    columns = evenly(fused.shape[1], _MOST_COLUMNS)
    for order in permutations(range(len(pieces))):
        start = 0
        for index in order:
            rows = evenly(len(pieces[index]), _ASKED)
            if not np.array_equal(fused.part(start + rows, columns), pieces[index].part(rows, columns)):
                break
            start += len(pieces[index])
        else:
            return "concatenated" if order == tuple(range(len(pieces))) else f"concatenated in the order {list(order)}"
    return ""


def _interleaved(fused: Matrix, pieces: Sequence[Matrix]) -> str:
    """Whether every row asked for is a row of a part, as where the parts alternate by heads."""
    if len(fused) > _MOST_ROWS or fused.shape[1] < _KEY:
        return ""
    columns = evenly(fused.shape[1], _KEY)
    known = {row.tobytes() for piece in pieces for row in np.ascontiguousarray(piece.part(None, columns))}
    asked = np.ascontiguousarray(fused.part(evenly(len(fused), 4 * _ASKED), columns))
    return "interleaved" if all(row.tobytes() in known for row in asked) else ""


def resize_cause(look: Look) -> Cause | None:
    """Return whether rows were added or removed and those that both sides have are the same, or were trained."""
    pair = look.result.pair
    if pair.old is None or pair.new is None or not len(pair.old.shape) == len(pair.new.shape) > 0:
        return None
    if pair.old.shape[1:] != pair.new.shape[1:]:
        return None
    vector = len(pair.old.shape) == 1
    old, new = (look.old.T, look.new.T) if vector else (look.old, look.new)
    rows = evenly(min(len(old), len(new)), 4 * _ASKED)
    columns = evenly(old.shape[1], _MOST_COLUMNS)
    a, b = (side.part(rows, columns).astype(np.float64) for side in (old, new))
    kept = float(np.mean(np.all(a == b, axis=1)))
    details = {
        "rows_old": pair.old.shape[0],
        "rows_new": pair.new.shape[0],
        "common_rows_identical_share": kept,
        "common_rows_cos": _cosine(a, b),
    }
    return Cause("resized", f"{pair.old.shape[0]:,} -> {pair.new.shape[0]:,} rows", details)


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    good = np.isfinite(a) & np.isfinite(b)
    a, b = np.where(good, a, 0.0), np.where(good, b, 0.0)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.sum(a * b)) / size if size else None
