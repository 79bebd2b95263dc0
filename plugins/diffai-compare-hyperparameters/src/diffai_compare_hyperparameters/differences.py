"""Settings and metrics in which two trainings differ."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_lib_training import Direction, Hyperparameter, ParameterGroup, Training


@dataclass(frozen=True)
class Setting:
    """A setting of one training.

    Args:
        value: What it is set to.
        path: Place in the tree.
        kind: ``hyperparameter``, ``seed``, ``path``, ``identity`` or ``runtime``.
    """

    value: Any
    path: str
    kind: str


@dataclass(frozen=True)
class Change:
    """A setting that differs.

    Args:
        name: What it is called.
        old: The setting in OLD; ``None`` if OLD does not have it.
        new: The setting in NEW; ``None`` if NEW does not have it.
        aliases: Other places that say the same, such as the optimizer's own groups.
    """

    name: str
    old: Setting | None
    new: Setting | None
    aliases: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it can change what is trained: a hyperparameter or a seed."""
        return any(side is not None and side.kind in {"hyperparameter", "seed"} for side in (self.old, self.new))

    def row(self) -> dict[str, Any]:
        """Return the change as a row of a table."""
        sides = {name: side.value for name, side in (("old", self.old), ("new", self.new)) if side is not None}
        known = self.new or self.old
        row = {"name": self.name, **sides, "kind": known.kind if known else "", "path": known.path if known else ""}
        return row | ({"also": list(self.aliases)} if self.aliases else {})


_ALIASES = {
    "learning_rate": "lr",
    "lr0": "lr",
    "initial_lr": "lr",
    "base_lr": "lr",
    "wd": "weight_decay",
    "train_batch_size": "batch_size",
    "per_device_train_batch_size": "batch_size",
    "num_train_epochs": "epochs",
    "max_epochs": "epochs",
    "n_epochs": "epochs",
    "optim": "optimizer",
    "opt": "optimizer",
}
_NO_SETTINGS = frozenset(
    {"lr", "params", "foreach", "capturable", "differentiable", "fused", "max_lr", "min_lr", "decoupled_weight_decay"}
)
_IN_GROUP = ".param_groups["
_POSITION = frozenset(
    {"last_epoch", "_step_count", "_last_lr", "base_lrs", "verbose", "T_cur", "T_i", "best", "num_bad_epochs"}
)


def settings_of(training: Training) -> dict[str, Setting]:
    """Return the settings of a training by name: those it states, and those of its optimizer and scheduler."""
    found = {item.name: Setting(item.value, item.path, item.kind) for item in _unambiguous(training.hyperparameters)}
    for name, value, path in _of_optimizers(training):
        found.setdefault(name, Setting(value, path, "hyperparameter"))
    return found


def _unambiguous(settings: tuple[Hyperparameter, ...]) -> Iterator[Hyperparameter]:
    """Yield the settings; the first of those that several containers of a file hold under one name."""
    names: set[str] = set()
    for item in settings:
        if item.name not in names:
            names.add(item.name)
            yield item


def _of_optimizers(training: Training) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and place of what optimizers and schedulers were set to."""
    for optimizer in training.optimizers:
        prefix = optimizer.path or "optimizer"
        if optimizer.groups:
            yield f"{prefix} (groups)", len(optimizer.groups), optimizer.path
        if optimizer.kind:
            yield f"{prefix} (kind)", optimizer.kind, optimizer.path
        for index, group in enumerate(optimizer.groups):
            for name, value in _of_group(group, scheduled=bool(training.schedulers)):
                yield (
                    f"{prefix}{_IN_GROUP}{index}].{name}",
                    value,
                    group.path_of("lr" if name not in group.values else name),
                )
    for scheduler in training.schedulers:
        prefix = scheduler.path or "scheduler"
        yield f"{prefix} (kind)", scheduler.kind, scheduler.path
        for name, value in scheduler.state.items():
            if name not in _POSITION and not name.startswith("_") and isinstance(value, int | float | str):
                yield f"{prefix}.{name}", value, f"{scheduler.path}.{name}"


def _of_group(group: ParameterGroup, *, scheduled: bool) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a group that do not move; its learning rate where no scheduler moves it."""
    for name, value in group.values.items():
        if name not in _NO_SETTINGS and not isinstance(value, dict):
            yield name, value
    if "initial_lr" not in group.values and "lr" in group.values and not scheduled:
        yield "initial_lr", group.values["lr"]


def changes_between(old: Mapping[str, Setting], new: Mapping[str, Setting]) -> list[Change]:
    """Return the settings that differ, by name; those that say the same twice are one.

    A parameter group that one side alone has is one difference, the number of groups, not one for each of its settings.
    """
    differing = [
        Change(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if (_IN_GROUP not in name or (name in old and name in new))
        and (name not in old or name not in new or not same(old[name].value, new[name].value))
    ]
    merged: dict[tuple[str, str, str], Change] = {}
    for change in sorted(differing, key=lambda change: ("param_groups[" in change.name, change.name)):
        before, after = (repr(side and side.value) for side in (change.old, change.new))
        key = (canonical(change.name), before, after)
        first = merged.get(key)
        merged[key] = change if first is None else Change(
            first.name, first.old, first.new, (*first.aliases, change.name)
        )  # fmt: skip
    return sorted(merged.values(), key=lambda change: change.name)


def canonical(name: str) -> str:
    """Return the usual name of a setting, so that it is known where another part of a file calls it otherwise.

    Example:
        >>> canonical("optimizer.param_groups[0].initial_lr"), canonical("args.learning_rate"), canonical("dropout")
        ('lr', 'lr', 'dropout')
    """
    last = name.rpartition(".")[2].removeprefix("ss_").lower()
    return _ALIASES.get(last, last)


def same(old: Any, new: Any) -> bool:
    """Whether two settings are the same: equal, of one kind (1 and 1.0 are, 1 and True are not), NaN like NaN."""
    if isinstance(old, bool) is not isinstance(new, bool):
        return False
    if isinstance(old, float) and isinstance(new, float) and math.isnan(old) and math.isnan(new):
        return True
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(same, old, new))
    return bool(old == new)


_NO_METRIC = re.compile(
    r"(?:^|[_/.-])(?:lr|rate|learning_rate|times?|seconds?|runtime|grad_norm|norm|memory|epochs?|steps?|tokens|samples|flos"
    r"|throughput|iterations?)(?:$|[_/.-])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MetricChange:
    """A metric that both trainings have.

    Args:
        name: What it is called; ``(last)`` after the last value of a series.
        old: Its value in OLD.
        new: Its value in NEW.
        direction: Which values are better, if that is known.
    """

    name: str
    old: float
    new: float
    direction: Direction | None

    def row(self) -> dict[str, Any]:
        """Return the change as a row of a table."""
        delta = self.new - self.old
        better = None if self.direction is None or not delta else (delta > 0) == (self.direction == "higher")
        relative = delta / abs(self.old) if self.old and math.isfinite(delta) else None
        sides = {"name": self.name, "old": self.old, "new": self.new}
        return sides | {"delta": delta, "rel_delta": relative, "better": better}


def metrics_between(old: Training, new: Training) -> list[MetricChange]:
    """Return the metrics that both sides have, by name."""
    before, after = _metrics(old), _metrics(new)
    return [MetricChange(name, before[name][0], *after[name]) for name in sorted(before.keys() & after.keys())]


def _metrics(training: Training) -> dict[str, tuple[float, Direction | None]]:
    found = {metric.name: (metric.value, metric.direction) for metric in reversed(training.metrics)}
    for history in training.histories:
        finite = [value for value in history.values if math.isfinite(value)]
        if finite and not _NO_METRIC.search(history.name):
            found.setdefault(f"{history.name} (last)", (finite[-1], history.direction))
    return {name: found[name] for name in found if math.isfinite(found[name][0])}
