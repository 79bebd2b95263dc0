"""Closed forms of the schedules of ``torch.optim.lr_scheduler``."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from diffai_lib_training.tree import number, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from diffai_lib_training.schedulers import Scheduler

    State = Mapping[str, Any]


class _Missing(Exception):  # noqa: N818 - no error: a field that the closed form needs is not there
    """The state does not hold what the closed form needs."""


def learning_rates_at(
    scheduler: Scheduler, position: int, groups: Sequence[Mapping[str, Any]] = ()
) -> tuple[float, ...] | None:
    """Return the learning rate of each group after ``position`` steps of the schedule.

    Args:
        scheduler: State of a scheduler.
        position: Number of calls of its ``step``, as in ``last_epoch``.
        groups: Settings of the optimizer's groups; a one-cycle schedule keeps its bounds there.

    Returns:
        ``None`` for a schedule that the state does not determine: functions, plateaus, and combinations of those.
    """
    try:
        return _rates(scheduler, position, groups)
    except (_Missing, OverflowError, ZeroDivisionError):
        return None


def _rates(scheduler: Scheduler, position: int, groups: Sequence[State]) -> tuple[float, ...]:
    if scheduler.kind == "sequential":
        return _sequential(scheduler, position, groups)
    if scheduler.kind == "chained":
        return _chained(scheduler, position, groups)
    if scheduler.kind == "one-cycle" and groups:
        return tuple(_one_cycle(scheduler.state, group, position) for group in groups)
    if scheduler.kind == "cyclic":
        return _cyclic(scheduler, position)
    form = _FORMS.get(scheduler.kind)
    if form is None:
        raise _Missing
    return tuple(form(scheduler.state, base, position) for base in scheduler.base_rates)


def _value(state: State, key: str) -> float:
    found = number(state.get(key))
    if found is None or not math.isfinite(found):
        raise _Missing
    return found


def _count(state: State, key: str) -> int:
    found = whole(state.get(key))
    if found is None:
        raise _Missing
    return found


def _cosine(state: State, base: float, position: int) -> float:
    low = _value(state, "eta_min")
    return low + (base - low) * (1 + math.cos(math.pi * position / _value(state, "T_max"))) / 2


def _cosine_restarts(state: State, base: float, position: int) -> float:
    first, factor = _count(state, "T_0"), _count(state, "T_mult")
    if not first:
        raise _Missing
    start, length = 0, first
    if factor <= 1:
        start = position // first * first
    else:
        while position >= start + length:
            start, length = start + length, length * factor
    low = _value(state, "eta_min")
    return low + (base - low) * (1 + math.cos(math.pi * (position - start) / length)) / 2


def _step(state: State, base: float, position: int) -> float:
    return float(base * _value(state, "gamma") ** (position // _count(state, "step_size")))


def _multi_step(state: State, base: float, position: int) -> float:
    milestones = state.get("milestones")
    if isinstance(milestones, dict):  # a counter; its class may stand beside its keys
        times = [(int(key), whole(n) or 0) for key, n in milestones.items() if str(key).isdecimal()]
    elif isinstance(milestones, list | tuple):
        times = [(step, 1) for step in map(whole, milestones) if step is not None]
    else:
        raise _Missing
    return float(base * _value(state, "gamma") ** sum(n for step, n in times if step <= position))


def _exponential(state: State, base: float, position: int) -> float:
    return float(base * _value(state, "gamma") ** position)


def _constant(state: State, base: float, position: int) -> float:
    return base if position >= _count(state, "total_iters") else base * _value(state, "factor")


def _linear(state: State, base: float, position: int) -> float:
    start, end, total = _value(state, "start_factor"), _value(state, "end_factor"), _count(state, "total_iters")
    return base * (start + (end - start) * min(total, position) / total)


def _polynomial(state: State, base: float, position: int) -> float:
    total = _count(state, "total_iters")
    return float(base * (1.0 - min(total, position) / total) ** _value(state, "power"))


_FORMS: dict[str, Callable[[State, float, int], float]] = {
    "cosine": _cosine,
    "cosine-restarts": _cosine_restarts,
    "step": _step,
    "multi-step": _multi_step,
    "exponential": _exponential,
    "constant": _constant,
    "linear": _linear,
    "polynomial": _polynomial,
}

_FACTORS = frozenset({"step", "multi-step", "exponential", "constant", "linear", "polynomial"})
"""Schedules that multiply the learning rate by the same numbers whatever it is, so that they can be chained."""


def _sequential(scheduler: Scheduler, position: int, groups: Sequence[State]) -> tuple[float, ...]:
    milestones = [whole(step) for step in scheduler.state.get("_milestones") or ()]
    starts = [0, *(step for step in milestones if step is not None)]
    index = bisect_right(starts[1:], position)
    if len(starts) != len(milestones) + 1 or index >= len(scheduler.parts):
        raise _Missing
    return _rates(scheduler.parts[index], position - starts[index], groups)


def _chained(scheduler: Scheduler, position: int, groups: Sequence[State]) -> tuple[float, ...]:
    if any(part.kind not in _FACTORS for part in scheduler.parts) or 0.0 in scheduler.base_rates:
        raise _Missing
    rates = list(scheduler.base_rates)
    for part in scheduler.parts:
        planned = _rates(part, position, groups)
        rates = [rate * new / base for rate, new, base in zip(rates, planned, part.base_rates, strict=True)]
    return tuple(rates)


def _cyclic(scheduler: Scheduler, position: int) -> tuple[float, ...]:
    state = scheduler.state
    mode, custom = state.get("mode"), state.get("_scale_fn_custom")
    total, ratio = _value(state, "total_size"), _value(state, "step_ratio")
    highest = state.get("max_lrs")
    if custom is not None or not isinstance(highest, list | tuple) or len(highest) != len(scheduler.base_rates):
        raise _Missing
    cycle = math.floor(1 + position / total)
    x = 1.0 + position / total - cycle
    scale = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
    size = _cycle_size(mode, state, cycle if state.get("scale_mode") == "cycle" else position)
    heights = [
        (_value({"high": high}, "high") - base) * scale
        for high, base in zip(highest, scheduler.base_rates, strict=True)
    ]
    return tuple(base + height * size for base, height in zip(scheduler.base_rates, heights, strict=True))


def _cycle_size(mode: Any, state: State, x: int) -> float:
    if mode == "triangular":
        return 1.0
    if mode == "triangular2":
        return float(1 / 2.0 ** (x - 1))
    if mode == "exp_range":
        return float(_value(state, "gamma") ** x)
    raise _Missing


def _one_cycle(state: State, group: State, position: int) -> float:
    phases = state.get("_schedule_phases")
    if not isinstance(phases, list | tuple) or not all(isinstance(phase, dict) for phase in phases):
        raise _Missing
    start = 0.0
    for index, phase in enumerate(phases):
        end = _value(phase, "end_step")
        if position <= end or index == len(phases) - 1:
            share = (position - start) / (end - start)
            first, last = (_value(group, str(phase.get(key))) for key in ("start_lr", "end_lr"))
            if state.get("_anneal_func_type") == "cos":
                return last + (first - last) / 2.0 * (1 + math.cos(math.pi * share))
            return first + (last - first) * share
        start = end
    raise _Missing
