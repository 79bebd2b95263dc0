"""How NEW is quantised or cast, what that costs, and what other schemes would."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_compare_quantization.judge import BELOW_NULL_DB, compensates, flags_of, median
from diffai_compare_quantization.tables import candidate_lines, worst_lines
from diffai_compare_quantization.targets import ANALYSED, targets
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_quantization.judge import Flag
    from diffai_compare_quantization.look import Look
    from diffai_compare_quantization.targets import Target
    from diffai_core.plugin import Comparison

_MOST_SAMPLED = 1 << 24
"""Elements of all samples together, about."""
_LEAST_SAMPLED = 1 << 12
_MOST_PREDICTED = 512
"""Matrices, the largest, of which the cost of other schemes is predicted."""
_NOTHING = "needs weights of floating-point numbers that OLD and NEW both have, with equal shapes"


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the weights that a person should look at, then one finding that sums up."""
    found = targets(comparison, ANALYSED)
    most_error = options.get("precision_loss_threshold")
    if not found:
        yield Finding("quantization_analysis", status="not_measurable", level="info", message=_NOTHING)
        return
    looks = _looked_at(comparison, found)
    flags = flags_of(looks, most_error)
    for look in looks:
        if look.target.key in flags:
            yield _flagged(look, flags[look.target.key], most_error)
    yield _summary(comparison, looks, flags, most_error)


def _looked_at(comparison: Comparison, found: Sequence[Target]) -> list[Look]:
    """Return the second look at each weight, in their order."""
    from diffai_compare_quantization.look import look, matrix_width
    from diffai_compare_quantization.sample import SAMPLE

    n_elements = min(max(_MOST_SAMPLED // len(found), _LEAST_SAMPLED), SAMPLE)
    matrices = sorted((t for t in found if matrix_width(t.new)), key=lambda target: (-target.new.numel, target.key))
    predict = frozenset(target.key for target in matrices[:_MOST_PREDICTED])
    second = partial(look, n_elements=n_elements, predict=predict)
    return list(comparison.map(second, found, lambda target: target.nbytes))


def _flagged(look: Look, flags: Sequence[Flag], most_error: float | None) -> Finding:
    above = any(flag.name == "above_threshold" for flag in flags)
    null = look.gaussian_sqnr_db
    limit: dict[str, Any] = {}
    if above:
        limit = {"threshold": most_error, "threshold_source": "user"}
    elif any(flag.name in ("below_null", "below_peers") for flag in flags):
        limit = {"threshold": {"gain_vs_gaussian_db": -BELOW_NULL_DB}, "threshold_source": "calibrated"}
    return Finding(
        "quantization_tensor",
        where=look.target.key,
        status="bounded" if look.bounded else "measured",
        level="info" if look.target.identical else "warning",
        values={"flags": [flag.name for flag in flags], **_row(look)},
        null=None if null is None else {"sqnr_db": null},
        coverage=1.0,
        message="; ".join(flag.reason for flag in flags),
        **limit,
    )


def _row(look: Look) -> dict[str, Any]:
    """Return the numbers of one weight."""
    target, sqnr, null = look.target, look.sqnr_db, look.gaussian_sqnr_db
    new, counts, errors = target.new, target.counts, look.errors
    row: dict[str, Any] = {
        "change": look.kind,
        "stored_as": look.stored_as,
        "sqnr_db": sqnr,
        "relative_error": look.relative_error,
        "max_abs_err": None if errors is None else errors.max_abs,
        "gaussian_sqnr_db": null,
        "gain_vs_gaussian_db": None if sqnr is None or null is None else sqnr - null,
        "rtn_sqnr_db": look.rtn_sqnr_db,
        "bits_per_weight": 8 * _nbytes(target) / new.numel,
        "bytes": _nbytes(target),
        "sampled_share": look.sampled,
    }
    if look.bounded:
        row["status"] = "bounded"
    if look.is_coarser and counts is not None and not target.has_codes:
        row["overflow_count"] = counts.old.n_finite - counts.new.n_finite
        row["underflow_share"] = max(counts.new.n_zero - counts.old.n_zero, 0) / counts.old.n
    if look.cast is not None and look.is_coarser:
        row |= {"cast": look.cast.best, "cast_share": look.cast.share, "cast_proved": look.cast.proved}
    if look.origin is not None:
        row["origin_dtype_guess"] = look.origin.name
    if look.grid is not None:
        row |= {"grid": str(look.grid), "grid_bits": look.grid.bits, "grid_residual_steps": look.grid.residual}
    if look.scales is not None:
        row |= {f"scales_{name}": count for name, count in look.scales._asdict().items()}
    if look.outlier_columns:
        row["outlier_columns"] = look.outlier_columns
    return row


def _nbytes(target: Target) -> int:
    return target.new.nbytes + (target.scale.nbytes if target.scale is not None else 0)


def _summary(
    comparison: Comparison, looks: Sequence[Look], flags: Mapping[str, Sequence[Flag]], most_error: float | None
) -> Finding:
    coarser = [look for look in looks if look.is_coarser]
    rated = [look for look in coarser if look.sqnr_db is not None]
    nulls = [look.gaussian_sqnr_db for look in rated if look.gaussian_sqnr_db is not None]
    limit: dict[str, Any] = {"threshold": {"gain_vs_gaussian_db": -BELOW_NULL_DB}, "threshold_source": "calibrated"}
    if most_error is not None:
        limit = {"threshold": {"relative_error": most_error}, "threshold_source": "user"}
    values = _values(looks, coarser, flags, most_error)
    bounded = bool(rated) and all(look.bounded for look in rated)
    return Finding(
        "quantization_analysis",
        status="bounded" if bounded else "measured",
        level="info",
        values=values,
        null={"sqnr_db": median(nulls)} if nulls else None,
        coverage=_coverage(comparison, looks),
        message=_message(looks, coarser),
        detail=(*worst_lines(coarser), *candidate_lines(values.get("candidates", ()))),
        **limit,
    )


def _values(
    looks: Sequence[Look], coarser: Sequence[Look], flags: Mapping[str, Sequence[Flag]], most_error: float | None
) -> dict[str, Any]:
    from diffai_compare_quantization.predict import predictions, recommended

    values: dict[str, Any] = {"scheme": _schemes(coarser), **_worst(coarser)}
    if most_error is not None:
        above = [key for key, found in flags.items() if any(flag.name == "above_threshold" for flag in found)]
        values |= {"n_above_threshold": len(above), "above_threshold": above}
    n_elements = sum(look.target.new.numel for look in looks)
    values |= {
        "n_rounded": len(coarser),
        "n_compared": len(looks),
        "n_flagged": len(flags),
        "bits_per_weight_old": 8 * sum(look.target.old.nbytes for look in looks) / n_elements,
        "bits_per_weight": 8 * sum(_nbytes(look.target) for look in looks) / n_elements,
        "bytes_old": sum(look.target.old.nbytes for look in looks),
        "bytes": sum(_nbytes(look.target) for look in looks),
    }
    origins = Counter(look.origin.name for look in looks if look.origin is not None)
    if origins:
        values["origin_dtype_guess"] = dict(origins.most_common())
    found = predictions(looks)
    if most_error is not None and found:
        values["recommended"] = recommended(found, most_error)
    if found:
        values["candidates"] = found
    return {**values, "tensors": [{"tensor": look.target.key, **_row(look)} for look in looks]}


def _schemes(coarser: Sequence[Look]) -> str:
    counts = Counter(look.stored_as for look in coarser)
    return "; ".join(name if len(counts) == 1 else f"{name} ({n:,})" for name, n in counts.most_common()) or "none"


def _worst(coarser: Sequence[Look]) -> dict[str, Any]:
    """Return the SQNR of those that are rounded: the median, of all together, and the least."""
    rated = [(look.sqnr_db, look.target.key, look) for look in coarser if look.sqnr_db is not None]
    if not rated:
        return {}
    worst = min(rated)
    gains = [sqnr - look.gaussian_sqnr_db for sqnr, _, look in rated if look.gaussian_sqnr_db is not None]
    errors = [(look.errors, look.target.new.numel) for *_, look in rated if look.errors is not None]
    signal, noise = math.fsum(found.signal for found, _ in errors), math.fsum(found.noise for found, _ in errors)
    nmse = math.fsum(n * found.noise / found.signal for found, n in errors) / sum(n for _, n in errors)
    return {
        "sqnr_db": median([sqnr for sqnr, *_ in rated]),
        "worst": worst[1],
        "worst_sqnr_db": worst[0],
        "gain_vs_gaussian_db": median(gains) if gains else None,
        "total_sqnr_db": 10 * math.log10(signal / noise),
        "mean_nmse": nmse,
    }


def _coverage(comparison: Comparison, looks: Sequence[Look]) -> float:
    """Return the share of the parameters of NEW whose error was measured; tied ones once."""
    sizes = {}
    for result in comparison.results:
        new = result.pair.new
        if new is not None and new.role in ANALYSED:
            sizes[new.storage] = new.numel
    known = sum(look.target.new.numel for look in looks if look.errors is not None)
    return min(known / max(sum(sizes.values()), 1), 1.0)


def _message(looks: Sequence[Look], coarser: Sequence[Look]) -> str:
    if not coarser:
        told = "no weight that changed was quantised, cast or put on a grid: what changed is no rounding"
        return (
            told if any(look.kind == "changed" for look in looks) else "no weight was quantised, cast or put on a grid"
        )
    parts = [
        "SQNR = 10 log10(Σ OLD² / Σ (NEW - OLD)²); the null is rounding normal values of these shapes the same way"
    ]
    if any(look.bounded for look in coarser):
        parts.append("codes have no scales that can be found, so theirs is the best that any scale for each row gives")
    if any(compensates(look) for look in coarser):
        parts.append("GPTQ and AWQ give up SQNR of weights for less loss of the model: less is not worse by itself")
    return "; ".join(parts)
