"""What the findings of this plugin share."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from diffai_compare_attention.measure import LayerMeasure
    from diffai_compare_attention.survey import Survey

_ROUNDING = {
    "float64": 4.6e-17,
    "float32": 2.5e-8,
    "float16": 2.07e-4,
    "bfloat16": 1.66e-3,
    "float8_e4m3fn": 2.65e-2,
    "float8_e5m2": 5.3e-2,
}
"""Relative RMS error of one rounding to the dtype, measured on normally distributed weights."""

_ROUNDINGS_OF_NO_CHANGE = 10.0
"""Circuits that were multiplied out and rounded again, also in an ill-conditioned basis, stay below this many."""

_MOST_REASONS = 20


def not_measurable(kind: str, found: Survey, measures: Iterable[LayerMeasure] = ()) -> Finding:
    """Return the summary of an analysis that could measure no layer."""
    failed = next((one for one in measures if one.reason), None)
    message = found.missing if failed is None else f"needs: {failed.reason} ({failed.key})"
    return Finding(kind, status="not_measurable", level="info", coverage=0.0, message=message)


def rounding_of(found: Survey) -> float:
    """Return the relative change of a circuit by rounding both factors once to the coarser dtype of the models."""
    names = {ref.stored_as for pair in found.pairs for side in (pair.old, pair.new) for ref in side.layer.refs}
    return 2**0.5 * max(_ROUNDING.get(name, _ROUNDING["float32"]) for name in names)


def unchanged_below(rounding: float) -> float:
    """Return the relative change up to which a circuit counts as the same."""
    return _ROUNDINGS_OF_NO_CHANGE * rounding


def covered(found: Survey, good: Sequence[LayerMeasure]) -> float | None:
    """Return the share of the elements of NEW's attention layers that was measured."""
    sizes = {pair.key: pair.new.layer.numel for pair in found.pairs}
    every, measured = sum(sizes.values()), sum(sizes[one.key] for one in good)
    return None if found.coverage is None or not every else found.coverage * measured / every


def numbers(rows: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    """Return the values of one field, without those that there are not."""
    return [row[key] for row in rows if row.get(key) is not None]


def middle(rows: Iterable[Mapping[str, Any]], key: str) -> float | None:
    """Return the median of one field; ``None`` without values."""
    found = numbers(rows, key)
    return median(found) if found else None


def heads_of_all(good: Iterable[LayerMeasure]) -> list[dict[str, Any]]:
    """Return the records of all heads, layer by layer."""
    return [head for one in good for head in one.heads]


def layer_rows(found: Survey, good: Sequence[LayerMeasure]) -> list[dict[str, Any]]:
    """Return one record for each layer: how it is cut into heads and how far it changed."""
    pairs = {pair.key: pair for pair in found.pairs}
    rows = []
    for one in good:
        count = pairs[one.key].new.heads
        rows.append(
            {
                "layer": one.key,
                "n_heads": count.n,
                "n_kv_heads": count.n_kv,
                "head_dim": count.dim,
                "heads_from": count.source,
                "raw_rel_change": one.raw_rel_change,
                "qk_delta_rel": middle(one.heads, "qk_delta_rel"),
                "ov_delta_rel": middle(one.heads, "ov_delta_rel"),
                "permutation": list(one.permutation),
            }
        )
    return rows


def skipped(found: Survey, measures: Iterable[LayerMeasure]) -> list[dict[str, str]]:
    """Return the layers that were not measured and why, the first of them."""
    reasons = [*found.skipped, *((one.key, one.reason) for one in measures if one.reason)]
    return [{"layer": key, "needs": reason} for key, reason in reasons[:_MOST_REASONS]]


def caveats(found: Survey, good: Sequence[LayerMeasure], *, queries: bool = True) -> list[str]:
    """Return what a reader has to know about all the numbers."""
    said = []
    moved = sum(bool(one.permutation) for one in good)
    if moved:
        said.append(f"in {moved} layers heads changed places, which was undone")
    if queries and found.positions.way == "unknown":
        said.append("the files do not say how positions are told apart; QK is that of two tokens at one place")
    if found.n_sampled_from:
        said.append(f"{len(found.pairs)} of {found.n_sampled_from} layers, evenly spaced")
    left_out = len(found.skipped) + len(found.pairs) - len(good)
    if left_out:
        said.append(f"{left_out} layers could not be measured")
    return said
