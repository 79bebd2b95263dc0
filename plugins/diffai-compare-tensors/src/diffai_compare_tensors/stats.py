"""The distributions of each changed tensor, and how far apart they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_tensors.describe import in_order, is_measured, rounding_ratio
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison, PairResult

QUANTILES = {
    "q000": 0.0,
    "q001": 0.001,
    "q010": 0.01,
    "q050": 0.05,
    "q250": 0.25,
    "q500": 0.5,
    "q750": 0.75,
    "q950": 0.95,
    "q990": 0.99,
    "q999": 0.999,
    "q1000": 1.0,
}

_BARS = "▁▂▃▄▅▆▇█"
_N_BINS = 24


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one finding for each changed tensor of numbers."""
    for result in in_order(comparison.results, options):
        if is_measured(result) and result.statistics.get("histograms") is not None:
            yield _finding(result)


def _finding(result: PairResult) -> Finding:
    histograms = result.statistics["histograms"]
    exact = histograms.old.exact and histograms.new.exact
    return Finding(
        "tensor_statistics",
        where=result.pair.key,
        status="measured" if exact else "bounded",
        level="info",
        old=_side(result, "old"),
        new=_side(result, "new"),
        values=_pair(result),
        null={"ks_d": 0.0, "w1_over_std": 0.0, "js_bits": 0.0, "rounding_ratio": 1.0},
        threshold_source="calibrated",
        coverage=1.0,
        message=_drawing(histograms),
    )


def _side(result: PairResult, side: str) -> dict[str, Any]:
    """Return the statistics of one side; quantiles inside the range are within 0.4 % where the dtype is wide."""
    statistics = result.statistics
    counts, histogram = getattr(statistics["counts"], side), getattr(statistics["histograms"], side)
    higher, centred = getattr(statistics["higher_moments"], side), getattr(statistics["moments"], side)
    extrema, norms = statistics["extrema"], statistics["norms"]
    found: dict[str, Any] = {
        "mean": centred.mean,
        "std": centred.std,
        "rms": centred.rms,
        "l1": getattr(norms, f"l1_{side}"),
        "skew": higher.skew,
        "ex_kurtosis": higher.ex_kurtosis,
    }
    found |= _quantiles(histogram, getattr(extrema, f"{side}_min"), getattr(extrema, f"{side}_max"))
    names = ("n_zero", "n_neg_zero", "n_nan", "n_pos_inf", "n_neg_inf", "n_subnormal")
    found |= {name: getattr(counts, name) for name in names}
    return {**found, "distinct": histogram.n_distinct, "entropy_bits": histogram.entropy_bits}


def _quantiles(histogram: Any, least: float | None, greatest: float | None) -> dict[str, float | None]:
    """Return the quantiles, none of them beyond the ends of the range, which are known exactly."""
    if least is None or greatest is None:
        return dict.fromkeys(QUANTILES)
    inner = histogram.quantiles(list(QUANTILES.values())).clip(least, greatest).tolist()
    return {**dict(zip(QUANTILES, inner, strict=True)), "q000": least, "q1000": greatest}


def _pair(result: PairResult) -> dict[str, Any]:
    statistics = result.statistics
    histograms, moments, ulp = statistics["histograms"], statistics["moments"], statistics["ulp"]
    found: dict[str, Any] = {
        "rel_change": moments.rel_change,
        "rounding_ratio": rounding_ratio(result),
        "norm_ratio": moments.norm_ratio,
        "one_minus_cos": moments.one_minus_cos,
        "centred_cos": moments.centred_cos,
        "mean_abs_diff": statistics["norms"].mean_abs_diff,
        "ks_d": histograms.ks_d,
        "w1_over_std": _over(histograms.w1, moments.old.std),
        # Between values that are all distinct it says nothing: keys of wide dtypes are mostly empty.
        "js_bits": histograms.js_bits if histograms.old.exact and histograms.new.exact else None,
    }
    if ulp is not None:
        found |= {"ulp_p50": _bounds(ulp, 0.5), "ulp_p99": _bounds(ulp, 0.99), "ulp_max": ulp.ulp_max}
        found |= {"sign_flips": ulp.sign_flips, "popcount1_share": ulp.popcount1_share}
    return found


def _over(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def _bounds(ulp: Any, quantile: float) -> list[int] | None:
    bounds = ulp.ulp_bounds(quantile)
    return None if bounds is None else list(bounds)


def _drawing(histograms: Any) -> str:
    """Draw both distributions over their common range, one character for each bin."""
    import numpy as np

    old, new = histograms.old, histograms.new
    if not old.n or not new.n:
        return ""
    low, high = (float(edge(old.values[end], new.values[end])) for edge, end in ((min, 0), (max, -1)))
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        return ""
    drawn = []
    for side in (old, new):
        bins = ((side.values - low) / (high - low) * _N_BINS).astype(int).clip(max=_N_BINS - 1)
        heights = np.bincount(bins, weights=side.counts, minlength=_N_BINS)
        levels = np.ceil(heights / heights.max() * len(_BARS)).astype(int)
        drawn.append("".join(_BARS[level - 1] if level else " " for level in levels))
    return f"old |{drawn[0]}| new |{drawn[1]}| from {low:.3g} to {high:.3g}"
