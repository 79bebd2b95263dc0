"""What the measures of rules are of a pair of tensors, of a tensor of NEW, and of all tensors together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from diffai_core.plugin import Changes, Moments, PairResult, TensorPair, TensorRef

_BLOCK_BYTES = 1 << 20


class Reading(NamedTuple):
    """The value of a measure.

    Args:
        value: The value, infinite where a change is against nothing; ``None`` if there is none.
        reason: Why there is none, or why it does not cover all elements; empty if it does.
    """

    value: float | None
    reason: str = ""


# -- pairs -----------------------------------------------------------------------------------------------------


def of_pair(measure: str, result: PairResult) -> Reading:
    """Return a measure of one pair; of a tensor whose bytes are equal it is known without looking."""
    if result.relation is Relation.IDENTICAL:
        return Reading(1.0 if measure in _RATIOS else 0.0)
    if result.relation is None:
        return Reading(None, f"only in {'OLD' if result.pair.new is None else 'NEW'}")
    if result.relation is Relation.NOT_COMPARED:
        return Reading(None, result.reason)
    if not result.same_shape:
        return Reading(None, "its shape changed")
    if measure in _COUNTED:
        changes = result.statistics.get("changes")
        return Reading(_COUNTED[measure](changes)) if changes else Reading(None, _unmeasured(result, "changes"))
    return _of_numbers(measure, result)


def _of_numbers(measure: str, result: PairResult) -> Reading:
    moments = result.statistics.get("moments")
    if moments is None:
        return Reading(None, _unmeasured(result, "moments"))
    if not moments.delta.n:
        return Reading(None, "no two finite values stand against each other")
    if measure == "max_abs_diff":
        extrema = result.statistics.get("extrema")
        if extrema is None:
            return Reading(None, _unmeasured(result, "extrema"))
        value: float | None = math.inf if extrema.max_abs_diff is None else extrema.max_abs_diff
    else:
        value = _MEASURED[measure](moments)
    reason = "NaN or infinities stand against numbers" if _has_gaps(moments, result) else ""
    if value is None:
        return Reading(None, reason or "one side has no direction: it is all zero, or far smaller")
    return Reading(value, reason)


def _has_gaps(moments: Moments, result: PairResult) -> bool:
    """Whether values that are not finite stand elsewhere in NEW than in OLD: no number then covers the change."""
    changes = result.statistics.get("changes")
    moved = not moments.old.n == moments.new.n == moments.delta.n
    return moved or bool(changes and changes.n_nan_one_side)


def _unmeasured(result: PairResult, statistic: str) -> str:
    if statistic in result.not_measured:
        return "--max-memory is too little for it"
    return "its elements are no numbers"


def _rel_change(moments: Moments) -> float | None:
    if moments.rel_change is not None:
        return moments.rel_change
    return _against_nothing(moments.delta.norm)


def _norm_ratio(moments: Moments) -> float | None:
    return moments.norm_ratio if moments.norm_ratio is not None else _ratio(moments.new_paired.norm, 0.0)


def _std_ratio(moments: Moments) -> float | None:
    return _ratio(moments.new_paired.std, moments.old_paired.std)


def _ratio(new: float | None, old: float | None) -> float | None:
    """Return new / old; 1 where both are nothing, infinite where only OLD is."""
    if new is None or old is None:
        return None
    if old:
        return new / old
    return math.inf if new else 1.0


def _against_nothing(size: float | None) -> float:
    return 0.0 if size == 0 else math.inf


def _one_minus_cos(moments: Moments) -> float | None:
    if moments.one_minus_cos is not None:
        return moments.one_minus_cos
    return 0.0 if moments.old_paired.norm == moments.new_paired.norm == 0 else None


_MEASURED: dict[str, Callable[[Moments], float | None]] = {
    "rel_change": _rel_change,
    "rms_diff": lambda moments: moments.delta.rms,
    "one_minus_cos": _one_minus_cos,
    "norm_ratio": _norm_ratio,
    "std_ratio": _std_ratio,
}
_RATIOS = frozenset({"norm_ratio", "std_ratio"})
_COUNTED: dict[str, Callable[[Changes], float | None]] = {
    "n_changed": lambda changes: changes.n_changed,
    "changed_share": lambda changes: changes.changed_share or 0.0,
    "n_above_tol": lambda changes: changes.n_above_tol,
    "n_nan_one_side": lambda changes: changes.n_nan_one_side,
}


# -- tensors of NEW --------------------------------------------------------------------------------------------


class NewValues(NamedTuple):
    """What a tensor of NEW holds.

    Args:
        n: Values; a complex element counts as two.
        n_nan: NaN.
        n_inf: Infinities of either sign.
        n_zero: Zeros of either sign.
        max_abs: Largest magnitude of a finite value; 0 if there is none.
    """

    n: int = 0
    n_nan: int = 0
    n_inf: int = 0
    n_zero: int = 0
    max_abs: float = 0.0


def look_at_new(pair: TensorPair) -> NewValues | None:
    """Read the tensor of NEW once, in blocks; ``None`` if its elements are no numbers."""
    import numpy as np

    ref = pair.new
    assert ref is not None, "only tensors of NEW are looked at"
    if ref.dtype.kind == "opaque":
        return None
    found = NewValues()
    for block in ref.blocks(_BLOCK_BYTES):
        values = block.view(block.real.dtype) if block.dtype.kind == "c" else block
        if values.dtype.isbuiltin != 1:  # of ml_dtypes: all of them fit into float32
            values = values.astype(np.float32)
        finite = values[np.isfinite(values)]
        n_nan = int(np.count_nonzero(np.isnan(values)))
        peak = max(abs(float(finite.min())), abs(float(finite.max()))) if finite.size else 0.0
        found = NewValues(
            found.n + values.size,
            found.n_nan + n_nan,
            found.n_inf + values.size - finite.size - n_nan,
            found.n_zero + values.size - int(np.count_nonzero(values)),
            max(found.max_abs, peak),
        )
    return found


def of_new(measure: str, values: NewValues | None) -> Reading:
    """Return a measure of a tensor of NEW."""
    if values is None:
        return Reading(None, "its elements are no numbers")
    if measure == "zero_share_new":
        return Reading(values.n_zero / values.n if values.n else 0.0)
    return Reading(float(getattr(values, measure.removesuffix("_new"))))


# -- all tensors together --------------------------------------------------------------------------------------


def of_model(measure: str, results: Sequence[PairResult]) -> Reading:
    """Return a measure of all tensors in ``results`` together."""
    if measure in _TESTS:
        return Reading(float(sum(map(_TESTS[measure], results))))
    old, new = (_SIZES[measure](ref for ref in side if ref) for side in _sides(results))
    if measure.endswith("_new"):
        return Reading(float(new))
    if not old:
        return Reading(None, "OLD has no parameters there")
    return Reading(new / old - 1)


def _sides(results: Sequence[PairResult]) -> tuple[Iterable[TensorRef | None], Iterable[TensorRef | None]]:
    return (result.pair.old for result in results), (result.pair.new for result in results)


def _count(refs: Iterable[TensorRef]) -> int:
    """Return the number of parameters, those of a shared storage once."""
    return sum({ref.storage: ref.numel for ref in refs if ref.is_parameter}.values())


def _bytes(refs: Iterable[TensorRef]) -> int:
    return sum({ref.storage: ref.nbytes for ref in refs if ref.is_parameter}.values())


def _both(result: PairResult) -> bool:
    return result.pair.old is not None and result.pair.new is not None


_TESTS: dict[str, Callable[[PairResult], bool]] = {
    "tensors_added": lambda result: result.pair.old is None,
    "tensors_removed": lambda result: result.pair.new is None,
    "tensors_changed": lambda result: result.relation is Relation.CHANGED,
    "tensors_renamed": lambda result: result.pair.renamed,
    "tensors_reshaped": lambda result: _both(result) and not result.same_shape,
    "tensors_recast": lambda result: _both(result) and not result.same_dtype,
}
_SIZES: dict[str, Callable[[Iterable[TensorRef]], int]] = {
    "parameters_change": _count,
    "parameters_new": _count,
    "bytes_change": _bytes,
    "bytes_new": _bytes,
}
