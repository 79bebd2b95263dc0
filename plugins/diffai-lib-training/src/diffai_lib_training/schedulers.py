"""State of learning-rate schedulers, recognised by the names of its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_lib_training.tree import Entry, containers, number, whole

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Scheduler:
    """The state of one scheduler.

    Args:
        path: Place in the tree.
        kind: ``cosine``, ``step``, ``exponential`` …; ``lambda`` where a function that is not in the file decides;
            empty if the fields are those of no scheduler that is known.
        state: Its fields.
        parts: Schedulers that it is made of.
    """

    path: str
    kind: str
    state: Mapping[str, Any]
    parts: tuple[Scheduler, ...] = ()

    @property
    def position(self) -> int | None:
        """How often it was stepped (``last_epoch``): epochs or optimizer steps, as the training did."""
        found = whole(self.state.get("last_epoch"))
        return next((part.position for part in self.parts), None) if found is None else found

    @property
    def base_rates(self) -> tuple[float, ...]:
        """The learning rate of each group from which the schedule is reckoned."""
        return _numbers(self.state.get("base_lrs")) or next((part.base_rates for part in self.parts), ())

    @property
    def last_rates(self) -> tuple[float, ...]:
        """The learning rate of each group that the scheduler set last."""
        return _numbers(self.state.get("_last_lr"))


def _numbers(values: Any) -> tuple[float, ...]:
    found = [number(value) for value in values] if isinstance(values, list | tuple) else []
    return tuple(value for value in found if value is not None) if None not in found else ()


_KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("one-cycle", frozenset({"total_steps", "_schedule_phases"})),
    ("cyclic", frozenset({"max_lrs", "total_size", "step_ratio"})),
    ("cosine-restarts", frozenset({"T_0", "T_mult", "eta_min"})),
    ("cosine", frozenset({"T_max", "eta_min"})),
    ("plateau", frozenset({"patience", "factor", "num_bad_epochs"})),
    ("polynomial", frozenset({"total_iters", "power"})),
    ("linear", frozenset({"start_factor", "end_factor", "total_iters"})),
    ("constant", frozenset({"factor", "total_iters"})),
    ("multi-step", frozenset({"milestones", "gamma"})),
    ("step", frozenset({"step_size", "gamma"})),
    ("sequential", frozenset({"_schedulers", "_milestones"})),
    ("chained", frozenset({"_schedulers"})),
    ("lambda", frozenset({"lr_lambdas"})),
    ("exponential", frozenset({"gamma", "base_lrs"})),
)


def find_schedulers(tree: Mapping[str, Any]) -> tuple[Scheduler, ...]:
    """Return the schedulers of a tree; those that others are made of are among their parts only."""
    found: list[Scheduler] = []
    inner: set[str] = set()
    for _, entry in containers(tree):
        if _is_scheduler(entry.value) and entry.path not in inner:
            scheduler = _scheduler(entry)
            inner.update(_paths_inside(scheduler))
            found.append(scheduler)
    return tuple(found)


def _is_scheduler(state: Mapping[str, Any]) -> bool:
    return bool(
        state.keys() & {"last_epoch", "_schedulers"} and state.keys() & {"_last_lr", "base_lrs", "_schedulers", "best"}
    )


def _scheduler(entry: Entry, depth: int = 0) -> Scheduler:
    deepest = 4
    state = entry.value
    kind = next((kind for kind, wanted in _KINDS if wanted <= state.keys()), "")
    parts = state.get("_schedulers")
    inside = [
        _scheduler(Entry(f"{entry.path}._schedulers[{index}]".removeprefix("."), part), depth + 1)
        for index, part in enumerate(parts if isinstance(parts, list | tuple) and depth < deepest else ())
        if isinstance(part, dict)
    ]
    return Scheduler(entry.path, kind, state, tuple(inside))


def _paths_inside(scheduler: Scheduler) -> set[str]:
    return {path for part in scheduler.parts for path in (part.path, *_paths_inside(part))}
