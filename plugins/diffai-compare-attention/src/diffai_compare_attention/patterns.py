"""``--attention-pattern-diff``: how far what each head looks for changed."""

from __future__ import annotations

from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from diffai_compare_attention.describe import (
    caveats,
    covered,
    heads_of_all,
    middle,
    not_measurable,
    numbers,
    rounding_of,
    skipped,
    unchanged_below,
)
from diffai_compare_attention.measure import Wanted, measure
from diffai_compare_attention.profile import first_layer_profiles
from diffai_compare_attention.survey import survey
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_attention.measure import LayerMeasure
    from diffai_compare_attention.survey import Survey
    from diffai_core.plugin import Comparison

KIND = "attention_pattern_diff"
_WANTED = Wanted(("qk",))


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary with a record for each head."""
    found = survey(comparison, options)
    measures = list(comparison.map(partial(measure, wanted=_WANTED), found.pairs, nbytes=lambda pair: pair.nbytes))
    good = [one for one in measures if not one.reason]
    yield _summary(found, measures, good) if good else not_measurable(KIND, found, measures)


def _summary(found: Survey, measures: Sequence[LayerMeasure], good: Sequence[LayerMeasure]) -> Finding:
    heads = heads_of_all(good)
    rounding = rounding_of(found)
    limit = unchanged_below(rounding)
    profiles, why_not = first_layer_profiles(found, good)
    spans = [row["span"] - row["span_old"] for row in profiles if row["span_old"] is not None]
    left_out = skipped(found, measures)
    cosines = numbers(heads, "qk_cos")
    values: dict[str, Any] = {
        "pattern": _pattern(heads, good, limit) + (" where measured" if left_out else ""),
        "similarity": fmean(cosines) if cosines else None,
        "span_change": fmean(spans) if spans else None,
        "least_similarity": min(cosines, default=None),
        "qk_delta_rel": middle(heads, "qk_delta_rel"),
        "changed_heads": sum(delta > limit for delta in numbers(heads, "qk_delta_rel")),
        "n_heads": len(heads),
        "layers": len(good),
        "positions": found.positions.way,
        "attention_entropy": None,
        "first_layer": profiles,
        "heads": heads,
    }
    reasons = [why_not] if why_not else []
    return Finding(
        KIND,
        level="info",
        values=values | ({"skipped": left_out} if left_out else {}),
        null={
            "similarity": {"unchanged": 1.0, "unrelated": 0.0},
            "qk_delta_rel": {"unchanged": 0.0, "rounded": rounding, "unrelated": 2**0.5},
            "span_change": 0.0,
        },
        threshold=limit,
        threshold_source="calibrated",
        coverage=covered(found, good),
        message="; ".join([*reasons, "entropy of patterns needs inputs", *caveats(found, good)]),
    )


def _pattern(heads: Sequence[Mapping[str, Any]], good: Sequence[LayerMeasure], limit: float) -> str:
    """Return in a word what happened to what heads look for."""
    deltas = numbers(heads, "qk_delta_rel")
    whole = len(deltas) == len(heads)
    if not whole:
        return "other heads"
    if all(delta <= limit for delta in deltas):
        return "moved" if any(one.permutation for one in good) else "unchanged"
    return "all changed" if all(delta > limit for delta in deltas) else "partly changed"
