"""Schedules of the Transformers library, which a checkpoint stores as functions without their arguments.

Their arguments stand in the saved TrainingArguments and in trainer_state.json. Factors of the base rate, after
``transformers.optimization``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any


@dataclass(frozen=True)
class Warmup:
    """A schedule with warm-up.

    Args:
        kind: Its name in ``lr_scheduler_type``.
        warmup: Steps of linear warm-up.
        total: Steps of the whole training.
    """

    kind: str
    warmup: int
    total: int

    def factor(self, step: float) -> float:
        """Return the share of the base rate after so many steps."""
        if step < self.warmup:
            return step / max(1, self.warmup)
        return _FORMS[self.kind](self, step)

    @property
    def label(self) -> str:
        """The schedule in words."""
        start = f" after {self.warmup} steps of warm-up" if self.warmup else ""
        length = "" if self.kind.startswith("constant") else f" over {self.total} steps"
        return f"{self.kind}{length}{start}"


def _progress(plan: Warmup, step: float) -> float:
    return (step - plan.warmup) / max(1, plan.total - plan.warmup)


def _linear(plan: Warmup, step: float) -> float:
    return max(0.0, (plan.total - step) / max(1, plan.total - plan.warmup))


def _cosine(plan: Warmup, step: float) -> float:
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * _progress(plan, step))))


def _cosine_with_restarts(plan: Warmup, step: float) -> float:
    progress = _progress(plan, step)
    return 0.0 if progress >= 1 else max(0.0, 0.5 * (1.0 + math.cos(math.pi * (progress % 1.0))))


def _constant(_: Warmup, __: float) -> float:
    return 1.0


def _inverse_sqrt(plan: Warmup, step: float) -> float:
    timescale = plan.warmup or 10_000
    return 1.0 / math.sqrt((step + timescale - plan.warmup) / timescale)


_FORMS: Mapping[str, Callable[[Warmup, float], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_with_restarts": _cosine_with_restarts,
    "constant": _constant,
    "constant_with_warmup": _constant,
    "inverse_sqrt": _inverse_sqrt,
}


def stated(settings: Mapping[str, Any], max_steps: int | None) -> Warmup | None:
    """Return the schedule that settings state; ``None`` if they do not, or if it takes further arguments.

    Args:
        settings: By their last names: ``lr_scheduler_type``, ``warmup_steps``, ``warmup_ratio``, ``max_steps``.
        max_steps: Steps of the training as its state counts them.
    """
    kind, total = settings.get("lr_scheduler_type"), max_steps or settings.get("max_steps")
    if (
        not isinstance(kind, str)
        or kind not in _FORMS
        or type(total) is not int
        or total <= 0
        or settings.get("lr_scheduler_kwargs")
    ):
        return None
    warmup, ratio = settings.get("warmup_steps") or 0, settings.get("warmup_ratio") or 0.0
    if isinstance(warmup, float) and 0 < warmup < 1:
        warmup, ratio = 0, warmup
    if not warmup and isinstance(ratio, int | float):
        warmup = math.ceil(total * ratio)
    return Warmup(kind, int(warmup), total) if isinstance(warmup, int | float) and warmup >= 0 else None


def guesses(steps: tuple[float, ...], rates: tuple[float, ...], max_steps: int | None) -> Iterator[Warmup]:
    """Yield schedules that a log of rates may follow, to be tried on all of it.

    The warm-up is as long as the log lets it be: up to the step of the highest rate.
    """
    peak = int(steps[max(range(len(rates)), key=rates.__getitem__)])
    for total in [max_steps] if max_steps else []:
        for warmup in dict.fromkeys((0, peak)):
            yield from (Warmup(kind, warmup, total) for kind in ("linear", "cosine", "cosine_with_restarts"))
    for warmup in dict.fromkeys((0, peak)):
        yield from (Warmup(kind, warmup, int(steps[-1])) for kind in ("constant", "inverse_sqrt"))
