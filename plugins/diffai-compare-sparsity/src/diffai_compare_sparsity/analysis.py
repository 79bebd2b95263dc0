"""How many weights are zero, in what pattern, and how the zeros of both sides overlap."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from diffai_compare_sparsity.weights import SPARSE, Weight, class_of
from diffai_core.plugin import Finding, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_sparsity.weights import Seen
    from diffai_core.plugin import Comparison

_ROLES = frozenset({"weights", "adapter"})
_KINDS = frozenset({"float", "complex"})
_NOTHING = "needs weights of floating-point numbers"
_CHANGED = (Relation.CHANGED, Relation.WITHIN_TOLERANCE)


def compare(comparison: Comparison, _options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the weights that lost what a person may count on, then one finding that sums up."""
    from diffai_compare_sparsity.weights import second_look, second_look_bytes

    weights = _weights(comparison)
    if not any(weight.n_zero("old") is not None or weight.n_zero("new") is not None for weight in weights):
        yield Finding("sparsity_analysis", status="not_measurable", level="info", message=_NOTHING)
        return
    seen = list(comparison.map(second_look, weights, second_look_bytes))
    pairs = list(zip(weights, seen, strict=True))
    for weight, found in pairs:
        reason = _noteworthy(weight, found)
        if reason:
            yield _flagged(weight, found, reason)
    yield _summary(comparison, pairs)


def _weights(comparison: Comparison) -> list[Weight]:
    """Return the weights of numbers; of tied ones the first."""
    seen: set[Any] = set()
    kept = []
    for result in comparison.results:
        refs = [ref for ref in (result.pair.old, result.pair.new) if ref is not None]
        if any(ref.role not in _ROLES or ref.dtype.kind not in _KINDS for ref in refs) or not refs[0].numel:
            continue
        storages = tuple(ref.storage for ref in refs)
        if storages not in seen:
            seen.add(storages)
            kept.append(Weight(result))
    return kept


def _noteworthy(weight: Weight, seen: Seen) -> str:
    if weight.result.relation not in _CHANGED:
        return ""
    if class_of(weight, seen, "new") == "all_zero":
        return "all elements became zero"
    if seen.old_pattern is not None and seen.new_pattern != seen.old_pattern:
        now = f"NEW is {seen.new_pattern}" if seen.new_pattern else "NEW breaks it"
        return f"OLD is {seen.old_pattern} sparse along axis {seen.old_pattern.axis}, and {now}"
    return ""


def _flagged(weight: Weight, seen: Seen, reason: str) -> Finding:
    from diffai_compare_sparsity.weights import row_of

    row = row_of(weight, seen)
    del row["tensor"]
    return Finding("sparsity_tensor", where=weight.key, level="warning", values=row, coverage=1.0, message=reason)


def _summary(comparison: Comparison, pairs: Sequence[tuple[Weight, Seen]]) -> Finding:
    from diffai_compare_sparsity.weights import row_of

    rows = [row_of(weight, seen) for weight, seen in pairs]
    totals = _totals(pairs, rows)
    refs = [result.pair.new for result in comparison.results if result.pair.new is not None]
    n_elements = sum({ref.storage: ref.numel for ref in refs if ref.role in _ROLES}.values())
    counted = sum(
        weight.new.numel for weight, _ in pairs if weight.new is not None and weight.n_zero("new") is not None
    )
    return Finding(
        "sparsity_analysis",
        level="info",
        values={**totals, "tensors": rows},
        null=_null(totals),
        threshold={"sparse_zero_share": SPARSE},
        threshold_source="convention",
        coverage=min(counted / n_elements, 1.0) if n_elements else None,
        message=_message(totals),
    )


def _totals(pairs: Sequence[tuple[Weight, Seen]], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    totals: dict[str, Any] = {}
    for side, ending in (("old", "_old"), ("new", "")):
        counted = [weight for weight, _ in pairs if weight.n_zero(side) is not None]
        n_zero = sum(weight.n_zero(side) or 0 for weight in counted)
        n = sum(getattr(weight.result.pair, side).numel for weight in counted)
        totals |= {f"zero_share{ending}": n_zero / n if n else None, f"n_zero{ending}": n_zero}
    totals |= {name: sum(row.get(name) or 0 for row in rows) for name in ("newly_zero", "regrown")}
    totals |= _mask(pairs)
    near = [
        (row["near_zero_share"], weight.new.numel) for row, (weight, _) in zip(rows, pairs, strict=True) if weight.new
    ]
    known = [(share, n) for share, n in near if share is not None]
    n_known = sum(n for _, n in known)
    totals["near_zero_share"] = sum(share * n for share, n in known) / n_known if n_known else None
    for name in ("zero_rows_old", "zero_rows", "zero_columns_old", "zero_columns"):
        totals[name] = sum(row[name] or 0 for row in rows)
    for side, ending in (("old", "_old"), ("new", "")):
        found = Counter(class_of(weight, seen, side) for weight, seen in pairs)
        totals[f"classes{ending}"] = {str(name): n for name, n in sorted(found.items(), key=str) if name is not None}
    return totals


def _mask(pairs: Sequence[tuple[Weight, Seen]]) -> dict[str, Any]:
    """Return how the zeros of all pairs overlap."""
    paired = [weight for weight, seen in pairs if seen.n_both is not None]
    both = sum(seen.n_both or 0 for _, seen in pairs)
    either = sum((weight.n_zero("old") or 0) + (weight.n_zero("new") or 0) for weight in paired) - both
    return {"mask_jaccard": both / either if either else None}


def _null(totals: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two random masks of these shares would overlap, and what normal weights have near zero."""
    from diffai_compare_sparsity.patterns import jaccard_null

    old, new = totals["zero_share_old"], totals["zero_share"]
    overlap = jaccard_null(old, new) if old is not None and new is not None else None
    return {"mask_jaccard": overlap, "near_zero_share": 7.98e-4}


def _message(totals: Mapping[str, Any]) -> str:
    sparse = {name: n for name, n in totals["classes"].items() if name not in ("dense", "never_pruned")}
    if not sparse:
        return "no weight of NEW is sparse: all have less than 1 % zeros, or were all zero before"
    told = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in sparse.items())
    known = "only where hardware knows their pattern (2:4 along the inputs), else bytes"
    return f"sparse weights of NEW: {told}; zeros save time {known}"
