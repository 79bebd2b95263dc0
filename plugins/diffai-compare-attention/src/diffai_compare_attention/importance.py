"""``--head-importance``: which heads of a layer can write most, and whose rank changed."""

from __future__ import annotations

from functools import partial
from statistics import fmean, median, pstdev
from typing import TYPE_CHECKING, Any

from diffai_compare_attention.describe import caveats, covered, not_measurable, skipped
from diffai_compare_attention.measure import Wanted, measure
from diffai_compare_attention.survey import survey
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_attention.measure import LayerMeasure
    from diffai_compare_attention.survey import Survey
    from diffai_core.plugin import Comparison

KIND = "head_importance"
_WANTED = Wanted(("ov",))
_PRUNABLE = 0.01
"""Share of the median of its layer below which a head writes next to nothing."""
_COPIES = 5.0
"""Standard deviations of a random head's trace beyond which a head copies, or writes the opposite."""


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary with a record for each head."""
    found = survey(comparison, options)
    measures = list(comparison.map(partial(measure, wanted=_WANTED), found.pairs, nbytes=lambda pair: pair.nbytes))
    good = [one for one in measures if not one.reason]
    yield _summary(found, measures, good) if good else not_measurable(KIND, found, measures)


def _summary(found: Survey, measures: Sequence[LayerMeasure], good: Sequence[LayerMeasure]) -> Finding:
    widths = {pair.key: pair.new.layer.matrices["o"].n_out for pair in found.pairs if "o" in pair.new.layer.matrices}
    ranked = [_ranked(one, widths[one.key]) for one in good]
    heads = [head for layer in ranked for head in layer]
    first = [head for head in heads if head["importance_rank_in_layer"] == 1]
    moved = [head for head in heads if head["rank_change"]]
    left_out = skipped(found, measures)
    values: dict[str, Any] = {
        "important_heads": [_name(head) for head in first],
        "prunable_heads": [_name(head) for head in heads if head["prunable"]],
        "specializations": _specializations(heads),
        "n_heads": len(heads),
        "rank_changes": len(moved),
        "new_first": sum(bool(head["rank_change"]) for head in first),
        "heads": heads,
    }
    return Finding(
        KIND,
        status="estimated",
        level="info",
        values=values | ({"skipped": left_out} if left_out else {}),
        null={"importance_z": 0.0, "rank_changes": 0, "ov_trace_rel": 0.0},
        threshold=_PRUNABLE,
        threshold_source="convention",
        coverage=covered(found, good),
        message="; ".join([_sentence(values), *caveats(found, good, queries=False)]),
    )


def _sentence(values: Mapping[str, Any]) -> str:
    return (
        f"ranked by |V||O| within each layer (ranks of two layers do not compare): {values['rank_changes']} of"
        f" {values['n_heads']} heads changed rank, {len(values['prunable_heads'])} write next to nothing"
    )


def _ranked(one: LayerMeasure, width: int) -> list[dict[str, Any]]:
    """Return the records of a layer with each head's place in it."""
    new = [head["vo_norm"] for head in one.heads]
    old = [head["vo_norm_old"] for head in one.heads]
    ranks, middle = _ranks(new), median(new)
    before = _ranks([size for size in old if size is not None])
    places = iter(before)
    rows = []
    for head, size, rank in zip(one.heads, new, ranks, strict=True):
        rank_old = None if head["vo_norm_old"] is None else next(places)
        trace, limit = head["ov_trace_rel"], _COPIES / width**0.5
        rows.append(
            {
                "layer": head["layer"],
                "head": head["head"],
                "kv_head": head["kv_head"],
                "old_head": head["old_head"],
                "importance_rank_in_layer": rank,
                "importance_rank_in_layer_old": rank_old,
                "rank_change": None if rank_old is None else rank - rank_old,
                "importance_z": _z(size, new),
                "importance_z_old": None
                if rank_old is None
                else _z(head["vo_norm_old"], [x for x in old if x is not None]),
                "vo_norm": size,
                "vo_norm_old": head["vo_norm_old"],
                "ov_norm": head["ov_norm"],
                "ov_norm_old": head["ov_norm_old"],
                "ov_trace_rel": trace,
                "specialization": None if trace is None or abs(trace) < limit else _direction(trace),
                "prunable": size <= _PRUNABLE * middle,
            }
        )
    return rows


def _direction(trace: float) -> str:
    return "copies" if trace > 0 else "writes the opposite"


def _ranks(sizes: Sequence[float]) -> list[int]:
    """Return the place of each, 1 for the largest; equal ones share a place."""
    ordered = sorted(sizes, reverse=True)
    places = {size: number for number, size in reversed(list(enumerate(ordered, 1)))}
    return [places[size] for size in sizes]


def _z(size: float, sizes: Sequence[float]) -> float | None:
    spread = pstdev(sizes)
    return (size - fmean(sizes)) / spread if spread > 0 else None


def _specializations(heads: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
    """Count heads by what their trace says; ``None`` where inputs and outputs have other widths."""
    if all(head["ov_trace_rel"] is None for head in heads):
        return None
    said = [head["specialization"] for head in heads]
    return {name: said.count(name) for name in ("copies", "writes the opposite")}


def _name(head: Mapping[str, Any]) -> str:
    return f"{head['layer']}.head{head['head']}"
