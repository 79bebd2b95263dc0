"""``--attention-analysis``: how far the circuits of each head changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_compare_attention.describe import (
    caveats,
    covered,
    heads_of_all,
    layer_rows,
    middle,
    not_measurable,
    numbers,
    rounding_of,
    skipped,
    unchanged_below,
)
from diffai_compare_attention.measure import Wanted, measure
from diffai_compare_attention.survey import survey
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_attention.measure import LayerMeasure
    from diffai_compare_attention.survey import Survey
    from diffai_core.plugin import Comparison

KIND = "attention_analysis"
_WANTED = Wanted(("qk", "ov"), spectra=True)
_REBASED_RATIO = 100.0
"""How many times further than the circuits the stored matrices changed where only their basis did."""
_LEAST_RAW = 1e-3


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary with a record for each layer and each head."""
    found = survey(comparison, options)
    measures = list(comparison.map(partial(measure, wanted=_WANTED), found.pairs, nbytes=lambda pair: pair.nbytes))
    good = [one for one in measures if not one.reason]
    yield _summary(found, measures, good) if good else not_measurable(KIND, found, measures)


def _summary(found: Survey, measures: Sequence[LayerMeasure], good: Sequence[LayerMeasure]) -> Finding:
    heads = heads_of_all(good)
    rounding = rounding_of(found)
    limit = unchanged_below(rounding)
    n_rebased = sum(map(_is_rebased, good))
    values: dict[str, Any] = {
        "layers": len(good),
        "n_heads": len(heads),
        "pattern_changes": _n_above(heads, "qk_delta_rel", limit),
        "output_changes": _n_above(heads, "ov_delta_rel", limit),
        "focus_shift": _focus_shift(heads),
        "qk_delta_rel": middle(heads, "qk_delta_rel"),
        "ov_delta_rel": middle(heads, "ov_delta_rel"),
        "raw_rel_change": middle([{"raw": one.raw_rel_change} for one in good], "raw"),
        "permuted_layers": sum(bool(one.permutation) for one in good),
        "rebased_layers": n_rebased,
        "positions": found.positions.way,
        "by_layer": layer_rows(found, good),
        "heads": heads,
    }
    left_out = skipped(found, measures)
    rebased = [f"{n_rebased} layers only changed their basis, which changes no output"] if n_rebased else []
    return Finding(
        KIND,
        level="info",
        values=values | ({"skipped": left_out} if left_out else {}),
        null={
            "delta_rel": {"unchanged": 0.0, "rounded": rounding, "unrelated": 2**0.5},
            "cos": {"unchanged": 1.0, "unrelated": 0.0},
            "high_frequency_share": 0.5,
            "ov_trace_rel": 0.0,
        },
        threshold=limit,
        threshold_source="calibrated",
        coverage=covered(found, good),
        message="; ".join([_sentence(values), *rebased, *caveats(found, good)]),
    )


def _sentence(values: Mapping[str, Any]) -> str:
    changes = [(values["pattern_changes"], "look for"), (values["output_changes"], "write")]
    said = [f"{count} of {values['n_heads']} changed what they {verb}" for count, verb in changes if count is not None]
    return f"heads: {', '.join(said)}" if said else f"{values['n_heads']} heads, none of which is in both models"


def _n_above(heads: Sequence[Mapping[str, Any]], key: str, limit: float) -> int | None:
    """Return how many heads changed by more than rounding; ``None`` if none was compared."""
    deltas = numbers(heads, key)
    return sum(delta > limit for delta in deltas) if deltas else None


def _focus_shift(heads: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the mean change of the share of fast frequencies: positive where heads tell near places apart better."""
    shifts = [
        head["high_frequency_share"] - head["high_frequency_share_old"]
        for head in heads
        if head.get("high_frequency_share") is not None and head.get("high_frequency_share_old") is not None
    ]
    return sum(shifts) / len(shifts) if shifts else None


def _is_rebased(one: LayerMeasure) -> bool:
    """Whether the matrices changed far more than the circuits that they make up."""
    deltas = [delta for key in ("qk_delta_rel", "ov_delta_rel") for delta in numbers(one.heads, key)]
    raw = one.raw_rel_change
    return bool(deltas) and raw is not None and raw > max(_LEAST_RAW, _REBASED_RATIO * max(deltas))
