"""What the findings of this plugin share: descriptions of tensors and of measured pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diffai_core.plugin import PairResult, TensorPair, TensorRef


def describe(ref: TensorRef) -> dict[str, Any]:
    """Return shape, dtype and number of elements of one tensor, and what it is for if it is no plain weight."""
    role = {} if ref.role == "weights" else {"role": ref.role}
    return {"shape": list(ref.shape), "dtype": ref.stored_as, "params": ref.numel, **role}


def unravel(index: int | None, shape: tuple[int, ...]) -> list[int] | None:
    """Return the position of a flat row-major index, one number per dimension.

    Example:
        >>> unravel(7, (2, 4))
        [1, 3]
    """
    if index is None:
        return None
    position = []
    for length in reversed(shape):
        index, remainder = divmod(index, length)
        position.append(remainder)
    return position[::-1]


def rel_change(result: PairResult) -> float | None:
    """Return the norm of the change over the norm of the old values; ``None`` if that cannot be measured."""
    moments = result.statistics.get("moments")
    found: float | None = None if moments is None else moments.rel_change
    return found


def rounding_ratio(result: PairResult) -> float | None:
    """Return the relative change in units of one rounding to the coarser dtype of the two."""
    from diffai_lib_layers import rounding_of

    change, rounding = rel_change(result), rounding_of(result.pair.old, result.pair.new)
    return None if change is None or rounding is None else change / rounding


def _energy(result: PairResult) -> float | None:
    """Return the norm of the change: it sorts as its square does."""
    moments = result.statistics.get("moments")
    norm: float | None = None if moments is None else moments.delta.norm
    return norm


def _max_abs(result: PairResult) -> float | None:
    extrema = result.statistics.get("extrema")
    largest: float | None = None if extrema is None else extrema.max_abs_diff
    return largest


_MEASURES = {"rel_change": rel_change, "energy": _energy, "max_abs": _max_abs, "effect": rounding_ratio}
"""The keys that tensors can be sorted by."""


def by_magnitude(results: Iterable[PairResult], key: str = "rel_change") -> list[PairResult]:
    """Sort by a measure of the change, the largest first; what has none, such as a change from zero, leads."""
    measure = _MEASURES[key]

    def magnitude(result: PairResult) -> tuple[float, str]:
        value = measure(result)
        return (-math.inf if value is None else -value, result.pair.key)

    return sorted(results, key=magnitude)


def same_form(pair: TensorPair) -> bool:
    """Whether both sides have the tensor under one name, with one shape and one dtype."""
    old, new = pair.old, pair.new
    return (
        old is not None
        and new is not None
        and old.name == new.name
        and old.shape == new.shape
        and (old.dtype, old.stored_as) == (new.dtype, new.stored_as)
    )


def is_measured(result: PairResult) -> bool:
    """Whether the elements of both tensors were compared one by one and are not all equal in value."""
    return (
        "changes" in result.statistics
        and result.relation in (Relation.CHANGED, Relation.WITHIN_TOLERANCE)
        and result.same_shape
    )


def in_order(results: Iterable[PairResult], options: Mapping[str, Any]) -> list[PairResult]:
    """Return the results by name, or by magnitude if the user asked for it."""
    key = options.get("sort_key", "rel_change")
    if options.get("sort_by_change_magnitude") or key != "rel_change":
        return by_magnitude(results, key)
    return list(results)
