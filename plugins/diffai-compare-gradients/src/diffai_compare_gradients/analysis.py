"""``--gradient-analysis``: what the optimizer of each side last saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_compare_gradients.depth import Outlier, depth_profile, largest_ratio, outliers
from diffai_compare_gradients.dumps import dumped
from diffai_compare_gradients.moments import Gradient, SideState, gradient_of, pooled_ratio, snr, state_of
from diffai_compare_gradients.rows import UnseenRows, unseen_rows
from diffai_compare_gradients.sums import SideSums, exact_sum
from diffai_compare_gradients.wording import not_measurable, why_not
from diffai_core.plugin import Finding, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_core.plugin import Comparison

KIND = "gradient_analysis"
LEAST_FOR_MEDIAN = 1_000
"""Elements from which on a tensor's R counts for the median: chance alone moves it by about 4 % of its null there."""


@dataclass(frozen=True)
class Side:
    """What one side's optimizer last saw.

    Args:
        state: What the artefact holds.
        gradients: One for each parameter whose gradients the state remembers.
        rows: Parameters with rows that were never updated.
        flagged: Tensors that stand out.
        dump: Gradients that were saved themselves.
    """

    state: SideState
    gradients: tuple[Gradient, ...]
    rows: tuple[UnseenRows, ...]
    flagged: tuple[Outlier, ...]
    dump: Mapping[str, Any]

    @property
    def is_measured(self) -> bool:
        """Whether anything is known of gradients."""
        return bool(self.dump) or any(gradient.rms is not None for gradient in self.gradients)


def analyse(comparison: Comparison, _: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the summary of both sides, and findings on tensors that stand out."""
    old, new = both_sides(comparison)
    if not old.is_measured and not new.is_measured:
        yield not_measurable(KIND, why_not(comparison, old.state, new.state))
    else:
        yield _summary(old, new)
    yield from _tensors(old, new)


def both_sides(comparison: Comparison) -> tuple[Side, Side]:
    """Return what both optimizers last saw; tensors that are equal are read once."""
    states = [state_of(artifact, comparison.keys) for artifact in (comparison.old, comparison.new)]
    old, new = SideSums(comparison, "old"), SideSums(comparison, "new")
    refs = [[ref for s in state.sized for ref in (s.second, s.first) if ref is not None] for state in states]
    old.measure(refs[0])
    new.adopt(old, refs[1])
    new.measure(refs[1])
    return _side(comparison, states[0], old, "old"), _side(comparison, states[1], new, "new")


def _side(comparison: Comparison, state: SideState, sums: SideSums, name: str) -> Side:
    gradients = tuple(gradient_of(source, sums) for source in state.sized)
    return Side(
        state,
        gradients,
        tuple(unseen_rows(gradients, sums, comparison, getattr(comparison, name))),
        tuple(outliers(gradients)),
        dumped(comparison, sums, name),
    )


def _summary(old: Side, new: Side) -> Finding:
    answers = {"old": _answers(old), "new": _answers(new)}
    first = {
        f"{name}_{side}": found.get(name)
        for name in _FIRST
        for side, found in answers.items()
        if any(name in other for other in answers.values())
    }
    values = {
        **first,
        "never_updated": [g.source.name for g in new.gradients if g.never_updated],
        "never_updated_rows": [{"name": rows.gradient.source.name, **rows.values()} for rows in new.rows],
        "details_old": _details(old, answers["old"]),
        "details_new": _details(new, answers["new"]),
        "tensors_old": [gradient.row() for gradient in old.gradients],
        "tensors": [gradient.row() for gradient in new.gradients],
    }
    null = {f"pooled_R_{name}": _null(side) for name, side in (("old", old), ("new", new))}
    return Finding(
        KIND,
        level="info",
        values=values,
        null={**null, "snr_old": 0.0, "snr_new": 0.0},
        coverage=min((_coverage(side) for side in (old, new) if side.is_measured), default=None),
        message=_message(old, new),
    )


_FIRST = ("rms_grad", "snr", "pooled_R", "optimizer", "step", "n_never_updated_rows", "grad_norm", "n_gradients")


def _details(side: Side, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a side's summary says beyond the first line."""
    return {name: value for name, value in answers.items() if name not in _FIRST} | depth_profile(side.gradients)


def _answers(side: Side) -> dict[str, Any]:
    """Return the scalars of one side; nothing where it has no gradients."""
    if not side.is_measured:
        return {}
    known = [gradient for gradient in side.gradients if gradient.sum_v is not None]
    answers: dict[str, Any] = dict(side.dump)
    if known:
        total, n = exact_sum(g.sum_v or 0.0 for g in known), sum(g.n for g in known)
        ratio = pooled_ratio(known)
        answers |= {
            "rms_grad": math.sqrt(max(total, 0.0)),
            "rms_grad_per_param": math.sqrt(max(total, 0.0) / n) if n else None,
            "snr": snr(ratio, _null(side)),
            "pooled_R": ratio,
            "pooled_R_median": _median_ratio(known),
            "noise_null_c": _null(side),
            "optimizer": side.state.kinds,
            "step": side.state.step,
            "n_never_updated": sum(gradient.never_updated for gradient in side.gradients),
            "n_never_updated_rows": sum(len(rows.never) for rows in side.rows),
            "n_without_state": side.state.n_without,
            "max_ratio_within_role": largest_ratio(known),
            "n_not_finite": answers.get("n_not_finite", 0) + sum(gradient.n_not_finite for gradient in known),
        }
    return answers


def _median_ratio(gradients: Sequence[Gradient]) -> float | None:
    """Return the median R of the tensors large enough for theirs to mean something; of all, if none is."""
    large = [gradient for gradient in gradients if gradient.n >= LEAST_FOR_MEDIAN]
    return _median([ratio for gradient in large or gradients if (ratio := gradient.pooled_ratio) is not None])


def _null(side: Side) -> float | None:
    """Return R of pure noise; one number where all parameters have the same settings and steps, as almost always."""
    nulls = [null for gradient in side.gradients if (null := gradient.source.noise_null) is not None]
    return _median(nulls)


def _median(values: Sequence[float]) -> float | None:
    import numpy as np

    return float(np.median(values)) if values else None


def _coverage(side: Side) -> float:
    """Return the share of the elements that an optimizer keeps state for whose gradients are known."""
    known = sum(gradient.n for gradient in side.gradients if gradient.sum_v is not None)
    return min(known / side.state.numel_all, 1.0) if side.state.numel_all else 1.0


def _message(old: Side, new: Side) -> str:
    parts = []
    for name, side in (("OLD", old), ("NEW", new)):
        if not side.is_measured:
            parts.append(f"{name} holds no gradients and no optimizer state that remembers them")
            continue
        found, null = pooled_ratio(side.gradients), _null(side)
        if found is not None and null is not None:
            word = "noise dominates" if found <= null else "above that of noise alone"
            parts.append(f"{name}: R {found:.3g} against {null:.3g} of pure noise, {word}")
    parts.append("running means over about the last 1/(1-beta2) steps, from the optimizer's state")
    return "; ".join(parts)


def _unreached(rows: UnseenRows) -> str:
    few = 6
    told = f": {', '.join(map(shown, rows.tokens[:few]))}" if rows.tokens else ""
    more = ", …" if len(rows.tokens) > few else ""
    return f"no gradient ever reached {len(rows.never):,} of {rows.n_rows:,} rows{told}{more}"


def _tensors(old: Side, new: Side) -> Iterator[Finding]:
    """Yield what stands out: a warning where it does so in NEW only."""
    before = {outlier.gradient.source.name for outlier in old.flagged}
    for outlier in new.flagged:
        name = outlier.gradient.source.name
        yield Finding(
            "gradient_analysis_tensor",
            where=name,
            level="info" if name in before else "warning",
            values={"robust_z": outlier.z, "rms_grad_per_param": outlier.gradient.rms_per_parameter},
            null={"robust_z": 0.0},
            threshold=outlier.threshold,
            threshold_source="calibrated",
            message=f"gradients are much {'larger' if outlier.z > 0 else 'smaller'} than in this layer of other blocks",
        )
    for rows in new.rows:
        if rows.never:
            yield Finding(
                "never_updated_rows",
                where=rows.gradient.source.name,
                level="info",
                values=rows.values(),
                message=_unreached(rows),
            )
    bad_before = {gradient.source.name for gradient in old.gradients if gradient.n_not_finite}
    for gradient in new.gradients:
        if gradient.n_not_finite:
            yield Finding(
                "gradient_not_finite",
                where=gradient.source.name,
                level="info" if gradient.source.name in bad_before else "warning",
                values={"n_not_finite": gradient.n_not_finite},
                null={"n_not_finite": 0},
                message="the optimizer's state holds NaN or infinities: a gradient overflowed",
            )
