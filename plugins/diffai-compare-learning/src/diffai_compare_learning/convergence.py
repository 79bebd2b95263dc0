"""Whether the steps between checkpoints still go somewhere."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_learning.log import Checkpoint, Loss, checkpoints, loss_of
from diffai_compare_learning.movement import Movement, movement
from diffai_compare_learning.progress import names_of
from diffai_compare_learning.trajectory import Path, path_of
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_core.plugin import Comparison, Status

_STRAIGHT, _BOUNCING = 0.1, -0.3
_FALLEN = 0.5
"""A step that is less than half of the first has fallen."""

_SERIES = 3
_ENOUGH = 900
"""Parameters from which 0.1 is more than three standard deviations, 3/√n, of the cosine of random steps."""

_CERTAIN = frozenset({"unchanged", "unrelated"})
"""States that no cosine decides."""

_ACTIONS = {
    "progressing": "train on",
    "diffusing": "look at the loss: the steps have no common direction",
    "bouncing": "look at the loss: lower the learning rate if it is not flat",
    "annealed": "look at the loss: the steps are smaller because the learning rate is",
    "slowing": "look at the loss: smaller steps alone are no convergence",
    "converged": "stop, or change the schedule or the data",
}
"""What follows from a state; nothing where it is not known."""


class _Steps(NamedTuple):
    """The steps of a series and what they are measured against.

    Args:
        rel: ‖D_i‖/‖W_(i+1)‖ for each.
        per_lr: The same per learning rate and, where steps are counted, per optimizer step; ``None`` if unknown.
        cosines: Of successive steps.
        straightness: ‖W_k - W_0‖/Σ‖D_i‖.
    """

    rel: Sequence[float | None]
    per_lr: Sequence[float] | None
    cosines: Sequence[float | None]
    straightness: float | None

    @property
    def median_cos(self) -> float | None:
        """Median cosine of successive steps."""
        known = [cos for cos in self.cosines if cos is not None]
        return float(np.median(known)) if known else None

    @property
    def late_cos(self) -> float | None:
        """Median cosine in the second half of the series: where it is now."""
        known = [cos for cos in self.cosines[len(self.cosines) // 2 :] if cos is not None]
        return float(np.median(known)) if known else None

    @property
    def ratio(self) -> float | None:
        """Last step over first."""
        return _ratio([step for step in self.rel if step is not None])

    @property
    def ratio_per_lr(self) -> float | None:
        """Last step over first, each per learning rate."""
        return None if self.per_lr is None else _ratio(self.per_lr)


def _ratio(steps: Sequence[float]) -> float | None:
    return steps[-1] / steps[0] if len(steps) > 1 and steps[0] else None


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: ARG001 - has no options
    """Yield one finding."""
    moved = movement(comparison)
    if not moved.tensors:
        yield Finding(
            "convergence_analysis",
            status="not_measurable",
            level="info",
            coverage=0.0,
            message="no parameter of real numbers has one shape on both sides; give the checkpoints of one training",
        )
        return
    series = checkpoints(comparison)
    path = path_of(comparison, names_of(comparison)) if len(series) >= _SERIES else None
    yield _finding(moved, series, path, loss_of(series[-1].training))


def _finding(moved: Movement, series: Sequence[Checkpoint], path: Path | None, loss: Loss | None) -> Finding:
    steps = _steps(moved, series, path)
    state, why = _state(moved, steps, path, loss)
    k = len(series) - 1
    values = {
        "state": state,
        "stability": steps.straightness,
        "action": None if state is None else _ACTIONS.get(state),
        "n_checkpoints": len(series),
        "cos_successive": steps.median_cos,
        "cos_late": steps.late_cos,
        "straightness": steps.straightness,
        "step_ratio": steps.ratio,
        "step_per_lr_ratio": steps.ratio_per_lr,
        "loss": None if loss is None else loss.values(),
        "cosines": list(steps.cosines),
        "rel_steps": list(steps.rel),
        "rel_steps_per_lr": None if steps.per_lr is None else list(steps.per_lr),
        "optimizer_steps": [checkpoint.step for checkpoint in series],
        "learning_rates": [checkpoint.learning_rate for checkpoint in series],
        "related": moved.related,
        "n_skipped": 0 if path is None else path.n_skipped,
    }
    return Finding(
        "convergence_analysis",
        status=_status(state, path),
        level="info",
        values=values,
        null=null_table(k) if path is not None else None,
        threshold={"progressing": _STRAIGHT, "bouncing": _BOUNCING, "fallen": _FALLEN},
        threshold_source="calibrated",
        coverage=moved.coverage if path is None else min(path.n_used / max(moved.n_parameters, 1), 1.0),
        message="; ".join([why, *_scatter(state, path), *(_remarks(series) if state != "unchanged" else ())]),
        detail=_table(series, steps) if path is not None else (),
    )


def _is_small(path: Path | None) -> bool:
    """Whether steps of so few parameters have cosines beyond the limits by chance."""
    return path is not None and 0 < path.n_used < _ENOUGH


def _status(state: str | None, path: Path | None) -> Status:
    if state is None:
        return "not_measurable"
    return "hint" if _is_small(path) and state not in _CERTAIN else "measured"


def _scatter(state: str | None, path: Path | None) -> Iterator[str]:
    if path is not None and state is not None and _status(state, path) == "hint":
        spread = 1 / math.sqrt(path.n_used)
        yield f"of {path.n_used:,} parameters only: cosines of random steps scatter by {spread:.2g}"


def null_table(k: int) -> dict[str, dict[str, float]]:
    """Return what ``k`` steps of known kinds of paths give: cosine of successive steps, straightness.

    Random walk: independent steps. Bouncing: independent draws around one point. Drift: all steps alike. Oscillation:
    each step takes the one before back.
    """
    return {
        "random_walk": {"cos": 0.0, "straightness": 1 / math.sqrt(k)},
        "bouncing": {"cos": -0.5, "straightness": 1 / k},
        "drift": {"cos": 1.0, "straightness": 1.0},
        "oscillation": {"cos": -1.0, "straightness": float(k % 2) / k},
    }


def _steps(moved: Movement, series: Sequence[Checkpoint], path: Path | None) -> _Steps:
    if path is None:
        change, ratio = moved.rel_change, moved.norm_ratio
        step = None if change is None or not ratio else change / ratio
        return _Steps([step], _per_lr([step], series), [], None)
    return _Steps(path.rel_steps, _per_lr(path.rel_steps, series), path.cosines, path.straightness)


def _per_lr(steps: Sequence[float | None], series: Sequence[Checkpoint]) -> list[float] | None:
    """Divide each step by the learning rate between its ends, and by the optimizer steps where they are counted."""
    counts = [checkpoint.step for checkpoint in series]
    known = [count for count in counts if count is not None]
    counted = len(known) == len(counts) and all(a < b for a, b in pairwise(known))
    found = []
    for index, step in enumerate(steps):
        left, right = series[index].learning_rate, series[index + 1].learning_rate
        if step is None or left is None or right is None or left + right <= 0:
            return None
        n = known[index + 1] - known[index] if counted else 1
        found.append(step / ((left + right) / 2 * n))
    return found


def _state(moved: Movement, steps: _Steps, path: Path | None, loss: Loss | None) -> tuple[str | None, str]:
    """Return the state by the first rule that holds, and why."""
    if moved.related is False:
        return "unrelated", "OLD and NEW are separate trainings: no path leads from one to the other"
    if all(step == 0 for step in steps.rel):
        return "unchanged", "no parameter changed"
    if path is not None and not path.n_used:
        return None, "no parameter is finite in every checkpoint"
    if steps.late_cos is None:
        return _without_cosine(steps, loss)
    return next(_rules(steps, steps.late_cos, loss))


def _rules(steps: _Steps, cos: float, loss: Loss | None) -> Iterator[tuple[str, str]]:
    """Yield the states whose rules hold, the strongest first."""
    lr_fell = _has_fallen(steps.ratio_per_lr)
    said = f"median cosine of successive steps, late in the series, {cos:.2f}"
    if loss is not None and loss.is_flat and (lr_fell or cos <= _BOUNCING):
        yield "converged", f"{_loss_said(loss)}, and {_fall_said(steps) if lr_fell else said}"
    if cos <= _BOUNCING:
        why = "each step takes back part of the one before, because the learning rate is high or the end is reached"
        yield "bouncing", f"{said}: {why}"
    if _has_fallen(steps.ratio) and steps.ratio_per_lr is not None and not lr_fell:
        yield "annealed", f"the last step is {steps.ratio:.2g} of the first; per learning rate it did not fall"
    if _has_fallen(steps.ratio_per_lr if steps.per_lr is not None else steps.ratio):
        yield "slowing", f"{_fall_said(steps)}; {_loss_said(loss)}"
    if cos > _STRAIGHT:
        yield "progressing", f"{said}: the steps go the same way and have not become smaller"
    if abs(cos) <= _STRAIGHT:
        yield "diffusing", f"{said}: as in a random walk"
    yield "undecided", f"{said}: between a random walk and bouncing"


def _without_cosine(steps: _Steps, loss: Loss | None) -> tuple[str | None, str]:
    """Two checkpoints have one step: it has a length and no direction to compare with."""
    if len(steps.rel) > 1:
        return None, "successive steps have no cosine: one of each pair is 0"
    why = "two checkpoints have one step, so that its direction cannot be compared: give three or more, in order"
    return None, why if loss is None else f"{why}; {_loss_said(loss)}"


def _has_fallen(ratio: float | None) -> bool:
    return ratio is not None and ratio < _FALLEN


def _fall_said(steps: _Steps) -> str:
    ratio, per_lr = steps.ratio, steps.ratio_per_lr
    if per_lr is not None:
        return f"the last step is {per_lr:.2g} of the first per learning rate"
    return "the last step differs from the first" if ratio is None else f"the last step is {ratio:.2g} of the first"


def _loss_said(loss: Loss | None) -> str:
    if loss is None:
        return "no loss is logged (8 values in the second half of a log are needed)"
    trend = "is flat" if loss.is_flat else ("falls" if loss.slope < 0 else "rises")
    return (
        f"{loss.name} {trend} in the second half of its log (slope {loss.slope:.2g}, {loss.low:.2g} to {loss.high:.2g})"
    )


def _remarks(series: Sequence[Checkpoint]) -> Iterator[str]:
    counts = [checkpoint.step for checkpoint in series if checkpoint.step is not None]
    if len(counts) < len(series):
        return
    gaps = [after - before for before, after in pairwise(counts)]
    if not any(gaps):
        yield f"all checkpoints count the same steps ({counts[0]:,}): they are no series of one training"
    elif any(gap <= 0 for gap in gaps):
        yield f"the checkpoints are not in the order of their steps ({', '.join(map(str, counts))})"
    elif max(gaps) > 1.5 * min(gaps):
        yield "the checkpoints are unequally spaced: compare steps per learning rate"


def _table(series: Sequence[Checkpoint], steps: _Steps) -> tuple[str, ...]:
    """Return a row for each step: its end, size, cosine with the one before, size per learning rate."""
    rows = [f"{'step':>4} {'to':>9} {'‖D‖/‖W‖':>10} {'cos':>7} {'per lr':>10}"]
    shown = len(steps.rel) if len(steps.rel) <= 20 else 0  # noqa: PLR2004 - a screen; all are in the values
    for index in range(shown):
        count, step = series[index + 1].step, steps.rel[index]
        cos = steps.cosines[index - 1] if index else None
        per_lr = None if steps.per_lr is None else steps.per_lr[index]
        rows.append(
            f"{index + 1:>4} {'-' if count is None else count:>9} {'-' if step is None else f'{step:.3g}':>10}"
            f" {'-' if cos is None else f'{cos:.2f}':>7} {'-' if per_lr is None else f'{per_lr:.3g}':>10}"
        )
    return tuple(rows) if shown else ()
