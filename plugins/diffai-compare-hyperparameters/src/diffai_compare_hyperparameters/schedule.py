"""Whether the rates that stand in a file are those of its schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_lib_training import learning_rates_at

from diffai_compare_hyperparameters.warmup import guesses, stated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_lib_training import History, Scheduler, Training

TOLERANCE = 1e-9
"""Relative; torch steps a schedule with some 1e-16 of rounding for each step, which 1e7 steps do not bring here."""


@dataclass(frozen=True)
class Check:
    """One schedule held against the rates of the file.

    Args:
        path: Place of the scheduler or log.
        pattern: The schedule in words.
        position: Steps of the schedule.
        predicted: Rates by its closed form.
        stored: Rates that stand in the file.
    """

    path: str
    pattern: str
    position: int | None
    predicted: tuple[float, ...] = ()
    stored: tuple[float, ...] = ()

    @property
    def error(self) -> float | None:
        """Largest relative difference; ``None`` where nothing can be compared."""
        if not self.predicted or len(self.predicted) != len(self.stored):
            return None
        return max(map(_relative, self.predicted, self.stored), default=None)

    @property
    def departs(self) -> bool:
        """Whether a rate is not that of the schedule."""
        return self.error is not None and self.error > TOLERANCE

    def row(self) -> dict[str, Any]:
        """Return the check as a row of a table."""
        return {
            "path": self.path,
            "pattern": self.pattern,
            "position": self.position,
            "predicted": list(self.predicted[:16]),
            "stored": list(self.stored[:16]),
            "max_rel_error": self.error,
        }


def _relative(predicted: float, stored: float) -> float:
    largest = max(abs(predicted), abs(stored))
    return abs(predicted - stored) / largest if largest else 0.0


def checks_of(training: Training, tree: Mapping[str, Any]) -> list[Check]:
    """Return a check of each scheduler, and of the log where it holds rates."""
    return [*_schedulers(training, tree), *_logs(training, tree)]


def _schedulers(training: Training, tree: Mapping[str, Any]) -> Iterator[Check]:
    for index, scheduler in enumerate(training.schedulers):
        groups = _groups(training, index)
        position = scheduler.position
        predicted = None if position is None else learning_rates_at(scheduler, position, groups)
        plan = stated(_short_names(training), _max_steps(tree)) if scheduler.kind == "lambda" else None
        if plan is not None and position is not None:
            predicted = tuple(base * plan.factor(position) for base in scheduler.base_rates)
        pattern = plan.label if plan is not None else describe(scheduler)
        yield Check(scheduler.path, pattern, position, predicted or (), scheduler.last_rates)


def _groups(training: Training, index: int) -> list[Mapping[str, Any]]:
    """Return the groups of the optimizer that a scheduler is for: that of the same place in the list."""
    optimizers = training.optimizers
    if not optimizers:
        return []
    chosen = optimizers[index] if len(optimizers) == len(training.schedulers) else optimizers[0]
    return [group.values for group in chosen.groups]


def _short_names(training: Training) -> dict[str, Any]:
    return {setting.name.rpartition(".")[2]: setting.value for setting in training.hyperparameters}


def _max_steps(tree: Mapping[str, Any]) -> int | None:
    for place in (tree, *(value for value in tree.values() if isinstance(value, dict) and "log_history" in value)):
        found = place.get("max_steps")
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return None


_SHOWN = {
    "cosine": ("T_max", "eta_min"),
    "cosine-restarts": ("T_0", "T_mult", "eta_min"),
    "step": ("step_size", "gamma"),
    "multi-step": ("gamma",),
    "exponential": ("gamma",),
    "linear": ("start_factor", "end_factor", "total_iters"),
    "constant": ("factor", "total_iters"),
    "polynomial": ("power", "total_iters"),
    "one-cycle": ("total_steps",),
    "cyclic": ("mode", "total_size"),
    "plateau": ("mode", "factor", "patience"),
}


def describe(scheduler: Scheduler) -> str:
    """Return a schedule in words: its kind and what sets its shape."""
    if scheduler.parts:
        return f"{scheduler.kind or 'combined'} ({', '.join(map(describe, scheduler.parts[:8]))})"
    if scheduler.kind == "lambda":
        return "a function that is not in the file"
    state = scheduler.state
    shown = [f"{key}={state[key]}" for key in _SHOWN.get(scheduler.kind, ()) if key in state]
    return f"{scheduler.kind or 'unknown'}" + (f" ({', '.join(shown)})" if shown else "")


def _logs(training: Training, tree: Mapping[str, Any]) -> Iterator[Check]:
    """Hold each log of rates against the schedule that settings state, else against those that it may follow."""
    for history in logged_rates(training):
        bases = [rate for scheduler in training.schedulers for rate in scheduler.base_rates[:1]]
        plan = stated(_short_names(training), _max_steps(tree))
        tried = [plan] if plan is not None else list(guesses(history.steps or (), history.values, _max_steps(tree)))
        found = [_against(history, one, bases) for one in tried]
        fitting = [check for check in found if check.error is not None and not check.departs]
        if plan is not None or fitting:
            yield (fitting or found)[0]


def _against(history: History, plan: Any, bases: Sequence[float]) -> Check:
    factors = [plan.factor(step) for step in history.steps or ()]
    highest = max(range(len(factors)), key=factors.__getitem__)
    base = bases[0] if bases else history.values[highest] / factors[highest] if factors[highest] else 0.0
    predicted = tuple(base * factor for factor in factors)
    return Check(history.path, plan.label, int((history.steps or (0,))[-1]), predicted, history.values)


def logged_rates(training: Training) -> Iterator[History]:
    """Yield logs of learning rates over steps that are finite and at least three."""
    least = 3
    paths = {rate.path for rate in training.learning_rates if rate.source == "log"}
    for history in training.histories:
        is_rate = history.path in paths and ("lr" in history.name.lower() or "learning_rate" in history.name)
        points = (*history.values, *(history.steps or ()))
        if is_rate and history.unit == "step" and len(history.values) >= least and all(map(math.isfinite, points)):
            yield history
