"""How much each tensor changed, and what share of the whole it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diffai_core.plugin import Comparison, PairResult

CHANGED = frozenset({Relation.CHANGED, Relation.WITHIN_TOLERANCE})
"""Relations of pairs whose elements differ."""


@dataclass(frozen=True)
class Change:
    """The change of one tensor.

    Args:
        key: Name of the tensor.
        numel: Its elements.
        old_norm: Euclidean norm of OLD.
        delta_norm: Euclidean norm of NEW - OLD.
        rel_change: ``delta_norm / old_norm``; ``None`` if OLD is all zero.
    """

    key: str
    numel: int
    old_norm: float
    delta_norm: float
    rel_change: float | None


def parameter_results(comparison: Comparison) -> list[PairResult]:
    """Return the results of parameters (not of optimizer state or buffers), tied storage once."""
    kept: dict[object, PairResult] = {}
    for result in comparison.results:
        ref = result.pair.new or result.pair.old
        if ref is not None and ref.is_parameter:
            kept.setdefault((ref.storage, result.pair.new is None), result)
    return list(kept.values())


def numel(result: PairResult) -> int:
    """Return the elements of NEW, or of OLD where it was removed."""
    ref = result.pair.new or result.pair.old
    return ref.numel if ref is not None else 0


def is_unchanged(result: PairResult) -> bool:
    """Whether both sides hold equal values in one shape."""
    return result.relation in {Relation.IDENTICAL, Relation.EQUAL_VALUES} and result.same_shape


def change_of(result: PairResult) -> Change | None:
    """Return how much a pair changed; ``None`` where its elements have no measurable difference."""
    moments = result.statistics.get("moments")
    if result.relation not in CHANGED or moments is None or not moments.n_finite_pairs:
        return None
    old_norm, delta_norm = moments.old_paired.norm, moments.delta.norm
    if old_norm is None or delta_norm is None:
        return None
    return Change(result.pair.key, numel(result), old_norm, delta_norm, moments.rel_change)


def changes_of(results: Iterable[PairResult]) -> list[Change]:
    """Return how much each pair changed, where that can be measured."""
    return [change for result in results if (change := change_of(result)) is not None]


def together(changes: Iterable[Change]) -> float | None:
    """Return the relative change of several tensors as if they were one; ``None`` if OLD is all zero."""
    listed = list(changes)
    old = math.hypot(*(change.old_norm for change in listed))
    delta = math.hypot(*(change.delta_norm for change in listed))
    return delta / old if old and math.isfinite(old) and math.isfinite(delta) else None


def share(part: float, whole: float) -> float | None:
    """Return ``part / whole``; ``None`` of nothing."""
    return part / whole if whole else None
