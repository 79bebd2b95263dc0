"""How far training moved the parameters, in how many steps, and what became of the metrics."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_layers import places

from diffai_compare_learning.log import AdamReach, Checkpoint, adam_reach, checkpoints, metric_deltas
from diffai_compare_learning.movement import RELATED_COS, RELATED_Z, Movement, is_trained, movement
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_core.plugin import Comparison

_DECAY_COS = -0.99
_ROUNDED = 1.5
"""Changes of up to so many roundings are no progress."""

_MOST_ROUNDED = 3.0
"""The same of a single tensor: its values may all lie where rounding is worst."""

_REPLACED = 0.1


class _Pace(NamedTuple):
    """How much training lies between OLD and NEW, as far as the files say."""

    steps: int | None
    epochs: float | None
    lr_integral: float | None
    restarted: bool
    same_step: bool = False


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: ARG001 - has no options
    """Yield how far the parameters moved, and the tensors that changed although no optimizer has state for them."""
    moved = movement(comparison)
    if not moved.tensors:
        yield _nothing()
        return
    series = checkpoints(comparison)
    first, last = series[0], series[-1]
    reach = adam_reach(first.training, last.training)
    yield _summary(moved, series, reach)
    if moved.related is not False:
        yield from _replaced(moved, last, reach)


def _nothing() -> Finding:
    return Finding(
        "learning_progress",
        status="not_measurable",
        level="info",
        coverage=0.0,
        message="no parameter of real numbers has one shape on both sides; give two checkpoints of one model",
    )


def _summary(moved: Movement, series: Sequence[Checkpoint], reach: AdamReach | None) -> Finding:
    first, last = series[0], series[-1]
    pace = _pace(series) if moved.related is not False else _Pace(None, None, None, restarted=False)
    metrics = metric_deltas(first.training, last.training)
    trend, why = _trend(moved, metrics)
    lineage = moved.lineage or (None, None, 0)
    change = moved.rel_change
    frozen = [tensor.key for tensor in moved.tensors if tensor.identical]
    bound = None if reach is None or moved.related is False else _least_steps(moved, reach)
    values = {
        "trend": trend,
        "magnitude": change,
        "speed": _per(change, pace.steps),
        "rel_change_total": change,
        "rounding_ratio": moved.rounding_ratio,
        "params_changed_share": moved.changed_share,
        "norm_ratio": moved.norm_ratio,
        "cos_move_old": moved.cos_move_old,
        "related": moved.related,
        "centred_cos": lineage[0],
        "centred_cos_z": lineage[1],
        "n_matrices": lineage[2],
        "steps_between": pace.steps,
        "steps_lower_bound": bound,
        "epochs_between": pace.epochs,
        "n_checkpoints": len(series),
        "optimizer_steps": [checkpoint.step for checkpoint in series],
        "lr_old": first.learning_rate,
        "lr_new": last.learning_rate,
        "lr_integral": pace.lr_integral,
        "rel_change_per_step": _per(change, pace.steps),
        "rel_change_per_lr": _per(change, pace.lr_integral),
        "training_restarted": pace.restarted,
        "n_frozen": len(frozen),
        "layers_frozen": frozen,
        "metric_delta": metrics,
        "roles": moved.by_role(),
        "tensors": [tensor.row() for tensor in moved.tensors],
        "status_of": {"steps_lower_bound": "bounded", "lr_integral": "estimated", "rel_change_per_lr": "estimated"},
    }
    return Finding(
        "learning_progress",
        level="info",
        values=values,
        null={"rel_change_total": 0.0, "rounding_ratio": 1.0, "centred_cos": 0.0, "cos_move_old": 0.0},
        threshold={"rounding_ratio": _ROUNDED, "centred_cos": RELATED_COS, "centred_cos_z": RELATED_Z},
        threshold_source="calibrated",
        coverage=moved.coverage,
        message="; ".join([why, *(_missing(pace) if moved.related is not False else ())]),
    )


def _trend(moved: Movement, metrics: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return what kind of change it is and why."""
    return next(_trends(moved, metrics))


def _trends(moved: Movement, metrics: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield what holds of the change, the strongest statement first."""
    change, ratio, cos = moved.rel_change, moved.rounding_ratio, moved.cos_move_old
    if all(tensor.identical for tensor in moved.tensors):
        yield "unchanged", "all parameters are bit-identical"
    if moved.changed_share == 0:
        yield "unchanged", "all parameters have the same values"
    if ratio is not None and ratio <= _ROUNDED and (moved.worst_rounding_ratio or 0.0) <= _MOST_ROUNDED:
        yield "within rounding", f"the change is {ratio:.2g} times one rounding of the dtype: no progress"
    if moved.related is False and moved.lineage is not None:
        cosine, z, _ = moved.lineage
        why = f"median centred cosine {cosine:.3f} (z {z:.1f}): separate trainings, so that this is no progress"
        yield "unrelated", why
    said = "from all zero" if change is None else f"the parameters moved by {change:.3g} of their size"
    if moved.is_swamped and moved.related is None and moved.lineage is not None:
        said += f" and are {moved.norm_ratio:.3g} times as large: whether NEW continues OLD cannot be told from them"
    if cos is not None and cos <= _DECAY_COS and (moved.norm_ratio or 1) < 1:
        yield "weight decay", f"{said}, straight towards 0 (cosine {cos:.3f}), as by weight decay alone"
    yield _by_metrics(said, [row["better"] for row in metrics if row["better"] is not None])


def _by_metrics(said: str, better: Sequence[bool]) -> tuple[str, str]:
    if not better:
        return "moved", said
    word = "improving" if all(better) else ("mixed" if any(better) else "worsening")
    return word, f"{said}; {sum(better)} of {len(better)} metrics that changed are better"


def _missing(pace: _Pace) -> Iterator[str]:
    if pace.restarted:
        yield "NEW counts fewer steps than OLD: its training was restarted"
    elif pace.same_step:
        yield "OLD and NEW count the same steps: none lie between, or they are separate runs"
    elif pace.steps is None:
        yield "the files do not say how many steps lie between"


def _pace(series: Sequence[Checkpoint]) -> _Pace:
    """Return the steps between the ends, and Σ lr over them: the mean rate of each interval's ends times its steps."""
    first, last = series[0], series[-1]
    steps = None if first.step is None or last.step is None else last.step - first.step
    epochs = None if first.epoch is None or last.epoch is None else last.epoch - first.epoch
    restarted, same_step = steps is not None and steps < 0, steps == 0
    if steps is not None and steps <= 0:
        steps = None
    parts = [_rate_sum(left, right) for left, right in pairwise(series)]
    known = [part for part in parts if part is not None]
    integral = math.fsum(known) if steps is not None and len(known) == len(parts) else None
    return _Pace(steps, epochs if epochs is not None and epochs > 0 else None, integral, restarted, same_step)


def _rate_sum(left: Checkpoint, right: Checkpoint) -> float | None:
    counts, rates = (left.step, right.step), (left.learning_rate, right.learning_rate)
    if counts[0] is None or counts[1] is None or rates[0] is None or rates[1] is None or counts[1] < counts[0]:
        return None
    return (counts[1] - counts[0]) * (rates[0] + rates[1]) / 2


def _per(value: float | None, amount: float | None) -> float | None:
    return None if value is None or not amount else value / amount


def _least_steps(moved: Movement, reach: AdamReach) -> int | None:
    """Return the least number of steps in which Adam can have moved the parameters so far."""
    distances = [tensor.max_abs_diff for tensor in moved.tensors if tensor.key in reach.names]
    return math.ceil(max(distances) / reach.per_step * (1 - 1e-6)) if distances and max(distances) > 0 else None


def _replaced(moved: Movement, last: Checkpoint, reach: AdamReach | None) -> Iterator[Finding]:
    """Yield the tensors that changed although the optimizer of NEW keeps no state for them."""
    if not all(optimizer.kind for optimizer in last.training.optimizers):
        return  # as L-BFGS, which keeps what it knows of all parameters under the first
    states = {state.name for optimizer in last.training.optimizers for state in optimizer.states if state.name}
    covered = sum(tensor.n for tensor in moved.tensors if tensor.key in states)
    if covered < moved.n / 2:
        return
    for tensor in moved.tensors:
        change = tensor.rel_change
        if tensor.key not in states and change is not None and change > _REPLACED:
            message = (
                f"changed by {change:.2g} of its size, and the optimizer of NEW has no state for it: replaced, "
                "not trained"
            )
            values = {"rel_change": change, "n": tensor.n, "has_optimizer_state": False}
            if reach is not None:
                values["max_abs_diff_in_steps"] = tensor.max_abs_diff / reach.per_step
            yield Finding(
                "learning_progress_tensor",
                where=tensor.key,
                status="hint",
                level="warning",
                values=values,
                null={"rel_change": 0.0},
                threshold={"rel_change": _REPLACED},
                threshold_source="convention",
                coverage=1.0,
                message=message,
            )


def names_of(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the names in OLD and NEW of the parameters that both have, tied storage once."""
    found, seen = [], set()
    roles = places(comparison.new.tensors)
    for result in comparison.results:
        old, new = result.pair.old, result.pair.new
        if old is not None and new is not None and is_trained(result, roles) and new.storage not in seen:
            seen.add(new.storage)
            found.append((old.name, new.name))
    return found
