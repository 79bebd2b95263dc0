"""What each checkpoint of a series says of its training: steps, learning rates, losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from diffai_lib_statistics import mann_kendall, slope_interval
from diffai_lib_training import training_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffai_lib_training import History, Optimizer, Training

    from diffai_core.plugin import Comparison

_LEAST_LOSSES = 8
_SURE = 2.0
_ADAM = frozenset({"adam", "adamw"})


class Checkpoint(NamedTuple):
    """What one artefact says of its training.

    Args:
        training: All of it.
        step: Optimizer steps; ``None`` if it does not say.
        epoch: Epochs.
        learning_rate: Rate of the first parameter group, or what the scheduler set last.
    """

    training: Training
    step: int | None
    epoch: float | None
    learning_rate: float | None


def checkpoints(comparison: Comparison) -> list[Checkpoint]:
    """Return what each artefact of the series says."""
    found = []
    for artifact in comparison.series:
        training = training_of(artifact, comparison.keys.keeps)
        rates = [rate.value for rate in training.learning_rates if rate.source in {"optimizer", "scheduler"}]
        found.append(Checkpoint(training, training.step(), training.epoch, rates[0] if rates else None))
    return found


class Loss(NamedTuple):
    """Where a loss goes in the second half of its log.

    Args:
        name: What it is called.
        n: Values looked at.
        slope: Change per step (or value, where steps are not logged).
        low: Lower limit of the 95 % interval of the slope, for dependent values.
        high: Upper limit.
        p: Of a Mann-Kendall test.
        last: Last value.
    """

    name: str
    n: int
    slope: float
    low: float
    high: float
    p: float
    last: float

    @property
    def is_flat(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high

    def values(self) -> dict[str, Any]:
        """Return plain values for a report."""
        return {**self._asdict(), "is_flat": self.is_flat}


def loss_of(training: Training) -> Loss | None:
    """Return where the loss goes: a validation loss if there is one; ``None`` without 8 values in the second half."""
    losses = [history for history in training.histories if history.direction == "lower"]
    for history in sorted(losses, key=_preference):
        values, steps = _second_half(history)
        if len(values) >= _LEAST_LOSSES and len(set(steps)) > 1:
            slope = slope_interval(values, steps)
            name = history.name
            return Loss(name, slope.n, slope.slope, slope.low, slope.high, mann_kendall(values).p, values[-1])
    return None


def _preference(history: History) -> tuple[bool, bool, str]:
    words = history.name.lower()
    return not ("val" in words or "eval" in words), "loss" not in words, history.path + history.name


def _second_half(history: History) -> tuple[list[float], list[float]]:
    steps = history.steps or tuple(float(index) for index in range(len(history.values)))
    points = [(step, value) for step, value in zip(steps, history.values, strict=True) if math.isfinite(value)]
    points = points[len(points) // 2 :]
    return [value for _, value in points], [step for step, _ in points]


class _Level(NamedTuple):
    """Where a metric stands: a number, or the mean of the end of its log with the standard error of that."""

    value: float
    direction: str | None
    error: float


def metric_deltas(old: Training, new: Training) -> list[dict[str, Any]]:
    """Return the metrics that both sides have and what became of them.

    Of a logged series the last tenth is averaged, 1 to 10 values; ``better`` is ``None`` where the difference is less
    than two standard errors, and where it is not known which values are better.
    """
    before, after = _metrics(old), _metrics(new)
    rows = []
    for name in sorted(before.keys() & after.keys()):
        first, last = before[name], after[name]
        delta = last.value - first.value
        certain = abs(delta) > _SURE * math.hypot(first.error, last.error)
        better = (delta < 0) == (first.direction == "lower") if certain and first.direction is not None else None
        rows.append(
            {
                "metric": name,
                "old": first.value,
                "new": last.value,
                "delta": delta,
                "direction": first.direction,
                "better": better,
            }
        )
    return rows


def _metrics(training: Training) -> dict[str, _Level]:
    found = {}
    for history in training.histories:
        values = [value for value in history.values if math.isfinite(value)]
        if history.direction is not None and values:
            found[_label(history)] = _end_of(values, history.direction)
    for metric in training.metrics:
        if math.isfinite(metric.value):
            found[metric.path] = _Level(metric.value, metric.direction, 0.0)
    return found


def _label(history: History) -> str:
    """Return the path, and the name where all series of a log have the path of the log."""
    return history.path if history.path.endswith(history.name) else f"{history.path}: {history.name}"


def _end_of(values: Sequence[float], direction: str) -> _Level:
    n = min(max(len(values) // 10, 1), 10)
    end = np.asarray(values[-n:])
    error = float(end.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    return _Level(float(end.mean()), direction, error)


class AdamReach(NamedTuple):
    """How far Adam can move a parameter in one step.

    Args:
        per_step: In weight units: learning rate · max(1, (1-β1)/√(1-β2)), the largest learning rate that is stated.
        names: Tensors of NEW that it updates.
    """

    per_step: float
    names: frozenset[str]


def adam_reach(old: Training, new: Training) -> AdamReach | None:
    """Return the reach of a step of the Adam in NEW; ``None`` if there is none, or settings are missing.

    The learning rate may have been larger in between than what is stated: then the bound is for a lower number.
    """
    adams = [optimizer for optimizer in new.optimizers if optimizer.kind in _ADAM and optimizer.states]
    if len(adams) != 1:
        return None
    (adam,) = adams
    rates = [rate.value for side in (old, new) for rate in side.learning_rates if rate.source != "settings"]
    rates += [rate for side in (old, new) for scheduler in side.schedulers for rate in scheduler.base_rates]
    rates += [value for side in (old, new) for h in side.histories if _is_rate(h) for value in h.values]
    rates += [float(group.values.get("initial_lr") or 0) for group in adam.groups]
    betas = [group.betas for group in adam.groups]
    decays = [group.weight_decay for group in adam.groups]
    names = frozenset(state.name for state in adam.states if state.name)
    largest = max((rate for rate in rates if math.isfinite(rate)), default=0.0)
    if not betas or None in betas or not names or not largest or not _without_decay(adam, decays):
        return None
    factor = max(max(1.0, (1 - b[0]) / math.sqrt(1 - b[1])) for b in betas if b is not None and b[1] < 1)
    return AdamReach(largest * factor, names)


def _is_rate(history: History) -> bool:
    return history.name.rpartition(".")[2].lower() in {"lr", "learning_rate"}


def _without_decay(adam: Optimizer, decays: Sequence[float | None]) -> bool:
    """Whether weight decay cannot move the weights beside the bound: it is none, or part of the gradient."""
    decoupled = adam.kind == "adamw"
    return not decoupled or all(decay == 0 for decay in decays)
