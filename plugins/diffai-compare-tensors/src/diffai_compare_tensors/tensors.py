"""The default comparison: one finding for each tensor that is not the same on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_tensors.describe import describe, in_order, is_measured, same_form, unravel
from diffai_core.plugin import Finding, PermutedTensor, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_core.plugin import Comparison, PairResult, TensorPair, TensorRef

_PREFIX_PAIRS = 2
"""From this many tensors on, a common change of prefix is one finding."""


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what happened to each tensor, by name, or the largest relative change first."""
    prefix = _common_prefix(comparison.results)
    if prefix is not None:
        yield prefix
    yield from _paired_by_content(comparison)
    for result in in_order(comparison.results, options):
        if not same_form(result.pair):
            yield from _structural(result, told=prefix is not None)
        if is_measured(result):
            yield _stats(result, comparison, detailed=bool(options.get("tensor_details")))
        elif result.relation is Relation.EQUAL_VALUES and result.same_dtype:
            yield _other_bits(result)
    yield from _tolerance_to_pass(comparison.results)


def _structural(result: PairResult, *, told: bool) -> Iterator[Finding]:
    """Yield added, removed, renamed, reshaped and cast; ``told`` if the renaming is told once for all."""
    pair = result.pair
    if pair.old is None or pair.new is None:
        yield from _one_sided(pair)
        return
    if pair.renamed and not (told and _prefixes(pair) is not None):
        yield _renamed(pair.old, pair.new)
    if not result.same_shape:
        values = {"reshape_only": result.relation is Relation.IDENTICAL}
        yield Finding(
            "tensor_shape_changed", pair.key, old=list(pair.old.shape), new=list(pair.new.shape), values=values
        )
    if not result.same_dtype:
        values = {"values_equal": result.relation is Relation.EQUAL_VALUES}
        yield Finding("tensor_dtype_changed", pair.key, old=pair.old.stored_as, new=pair.new.stored_as, values=values)


def _renamed(old: TensorRef, new: TensorRef) -> Finding:
    values: dict[str, Any] = {"shape": list(new.shape), "dtype": new.stored_as}
    message = ""
    if isinstance(new, PermutedTensor):
        values |= {"stored_shape": list(new.stored.shape), "axes": list(new.axes)}
        message = "its axes are stored in another order" if _reordered(new) else ""
    return Finding("tensor_renamed", new.name, old=old.name, new=new.name, values=values, message=message)


def _reordered(ref: TensorRef | None) -> bool:
    """Whether the axes are read in another order; axes of length 1 may come and go without that."""
    return isinstance(ref, PermutedTensor) and list(ref.axes) != sorted(ref.axes)


def _paired_by_content(comparison: Comparison) -> Iterator[Finding]:
    """Yield how many tensors were paired by what they hold, and which could not be.

    Within one format that is said only where they are stored otherwise; a renamed tensor says so itself.
    """
    results = comparison.results
    pairs = [result.pair for result in results if result.pair.paired_by == "content"]
    removed = [result.pair.key for result in results if result.pair.new is None]
    added = [result.pair.key for result in results if result.pair.old is None]
    n_permuted = sum(_reordered(pair.new) for pair in pairs)
    n_cast = sum(pair.old is not None and pair.new is not None and pair.old.dtype != pair.new.dtype for pair in pairs)
    if not pairs or (comparison.old.format == comparison.new.format and not n_permuted and not n_cast):
        return
    kinds = [f"{n_permuted} with their axes in another order"] * (n_permuted > 0)
    kinds += [f"{n_cast} in another dtype"] * (n_cast > 0)
    told = f" ({', '.join(kinds)})" if kinds else ""
    yield Finding(
        "tensors_paired_by_content",
        level="info",
        values={
            "n_paired": len(pairs),
            "n_permuted": n_permuted,
            "n_cast": n_cast,
            "unpaired_old": removed,
            "unpaired_new": added,
        },
        message=f"{len(pairs)} tensors have other names and were paired by their values{told};"
        f" not paired: {len(removed)} of OLD, {len(added)} of NEW",
    )


def _one_sided(pair: TensorPair) -> Iterator[Finding]:
    if pair.new is not None:
        yield Finding("tensor_added", pair.new.name, new=describe(pair.new))
    elif pair.old is not None:
        yield Finding("tensor_removed", pair.old.name, old=describe(pair.old))


def _prefixes(pair: TensorPair) -> tuple[str, str] | None:
    """Return what stands before the common rest of two names, if one is the other with a prefix."""
    if pair.old is None or pair.new is None:
        return None
    old, new = pair.old.name, pair.new.name
    if old != new and old.endswith("." + new):
        return old[: -len(new)], ""
    if old != new and new.endswith("." + old):
        return "", new[: -len(old)]
    return None


def _common_prefix(results: Sequence[PairResult]) -> Finding | None:
    """Return one finding for all tensors that got or lost the same prefix."""
    found = [_prefixes(result.pair) for result in results if result.pair.renamed]
    if len(found) < _PREFIX_PAIRS or None in found or len(set(found)) > 1 or found[0] is None:
        return None
    old, new = found[0]
    return Finding(
        "tensor_prefix_changed",
        where=f"{new}*",
        old=f"{old}*",
        new=f"{new}*",
        values={"n_tensors": len(found)},
        message=f"{len(found)} tensors are named {new}… instead of {old}…",
    )


def _stats(result: PairResult, comparison: Comparison, *, detailed: bool) -> Finding:
    """Return how far the elements of one pair are apart."""
    within = result.relation is Relation.WITHIN_TOLERANCE
    tolerance = comparison.tolerances.of(result.pair.key)
    return Finding(
        "tensor_within_tolerance" if within else "tensor_stats_changed",
        where=result.pair.key,
        level="info" if within else "change",
        old=_side(result.pair.old, result, "old"),
        new=_side(result.pair.new, result, "new"),
        values=_pair_values(result, detailed=detailed),
        null=0.0,
        threshold=None if tolerance.exact else {"rtol": tolerance.rtol, "atol": tolerance.atol},
        threshold_source="" if tolerance.exact else "user",
        coverage=1.0,
    )


def _side(ref: TensorRef | None, result: PairResult, side: str) -> dict[str, Any]:
    """Return mean, std, min and max of the finite values, and what the tensor is."""
    described = {} if ref is None else describe(ref)
    moments, extrema = result.statistics["moments"], result.statistics["extrema"]
    centred = None if moments is None else getattr(moments, side)
    return {
        "mean": None if centred is None else centred.mean,
        "std": None if centred is None else centred.std,
        "min": None if extrema is None else getattr(extrema, f"{side}_min"),
        "max": None if extrema is None else getattr(extrema, f"{side}_max"),
        "shape": described.get("shape"),
        "dtype": described.get("dtype"),
        "total_params": described.get("params"),
    }


def _pair_values(result: PairResult, *, detailed: bool) -> dict[str, Any]:
    changes, moments, extrema = (result.statistics[name] for name in ("changes", "moments", "extrema"))
    shape = result.pair.new.shape if result.pair.new is not None else ()
    values: dict[str, Any] = {
        "rel_change": None if moments is None else moments.rel_change,
        "max_abs_diff": None if extrema is None else extrema.max_abs_diff,
        "max_abs_diff_index": None if extrema is None else unravel(extrema.max_abs_diff_index, shape),
        "one_minus_cos": None if moments is None else moments.one_minus_cos,
        "n_changed": changes.n_changed,
        "changed_share": changes.changed_share,
    }
    if changes.n_nan_one_side:
        values["n_nan_one_side"] = changes.n_nan_one_side
    if changes.n_above_tol != changes.n_changed:
        values["n_above_tol"] = changes.n_above_tol
    if detailed and moments is not None:
        values["norm_ratio"] = moments.norm_ratio
        values["delta_mean"] = moments.delta.mean
        values["delta_std"] = moments.delta.std
        values["n_finite_pairs"] = moments.n_finite_pairs
        values["n_bit_equal"] = changes.n_bit_equal
    return values


def _other_bits(result: PairResult) -> Finding:
    changes = result.statistics["changes"]
    return Finding(
        "tensor_bits_changed",
        where=result.pair.key,
        level="info",
        values={"n_other_bits": changes.n_other_bits, "n": changes.n},
        null=0,
        coverage=1.0,
        message="equal values in other bits (signs of zero or NaN payloads)",
    )


def _tolerance_to_pass(results: Sequence[PairResult]) -> Iterator[Finding]:
    """Yield the absolute tolerance under which everything would be the same, if there is one."""
    changed = [result for result in results if result.relation is Relation.CHANGED]
    alike = all(same_form(result.pair) for result in results)
    if not changed or not alike or not all(map(_is_finite, changed)):
        return
    worst = max(changed, key=_largest_difference)
    yield Finding(
        "tolerance_to_pass",
        level="info",
        values={"atol": _largest_difference(worst), "tensor": worst.pair.key},
    )


def _is_finite(result: PairResult) -> bool:
    """Whether all values of both sides are finite, so that some tolerance lets every difference pass."""
    moments = result.statistics.get("moments")
    n_values = 0 if moments is None else moments.n_finite_pairs
    return n_values >= result.statistics["changes"].n and result.statistics["extrema"].max_abs_diff is not None


def _largest_difference(result: PairResult) -> float:
    largest: float = result.statistics["extrema"].max_abs_diff
    return largest
