"""What a training left behind in an artefact, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from diffai_lib_training.hyperparameters import Hyperparameter, find_hyperparameters
from diffai_lib_training.metrics import History, Metric, find_histories, find_metrics
from diffai_lib_training.optimizers import Optimizer, find_optimizers
from diffai_lib_training.schedulers import Scheduler, find_schedulers
from diffai_lib_training.tree import Entry, below, containers, number, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from diffai_core.plugin import Artifact


@dataclass(frozen=True)
class LearningRate:
    """A learning rate that stands in the file.

    Args:
        path: Place in the tree.
        value: The rate.
        source: Where it stands: with the optimizer, the scheduler, in a log (its last value), or among the settings.
        group: Index of the parameter group; ``None`` where it is not of one.
    """

    path: str
    value: float
    source: Literal["optimizer", "scheduler", "log", "settings"]
    group: int | None


@dataclass(frozen=True)
class Training:
    """What a training left behind; everything with its place in the tree.

    Args:
        optimizers: Optimizer states.
        schedulers: Scheduler states.
        steps: Numbers of optimizer steps that the tree states, the most telling first.
        epochs: Numbers of epochs.
        learning_rates: Of the optimizer first, then scheduler, log and settings.
        metrics: Single numbers.
        histories: Series over the training.
        hyperparameters: Settings.
    """

    optimizers: tuple[Optimizer, ...]
    schedulers: tuple[Scheduler, ...]
    steps: tuple[Entry, ...]
    epochs: tuple[Entry, ...]
    learning_rates: tuple[LearningRate, ...]
    metrics: tuple[Metric, ...]
    histories: tuple[History, ...]
    hyperparameters: tuple[Hyperparameter, ...]

    @property
    def epoch(self) -> float | None:
        """The first number of epochs that the tree states."""
        return next((entry.value for entry in self.epochs), None)

    def step(self) -> int | None:
        """Return how many optimizer steps were taken: as the tree states it, else the largest step of an optimizer.

        Raises:
            LoadError: If a step that is stored as a tensor cannot be read.
        """
        if self.steps:
            return int(self.steps[0].value)
        found = [step for step in map(_largest_step, self.optimizers) if step is not None]
        return max(found, default=None)


def _largest_step(optimizer: Optimizer) -> int | None:
    few = 64
    found = [step for state in optimizer.states[:few] if (step := state.step()) is not None]
    return max(found, default=None)


def training_of(artifact: Artifact, keeps: Callable[[str], bool] | None = None) -> Training:
    """Return what a training left behind in an artefact.

    No payload is read; steps that are stored as tensors are read when they are asked for.

    Args:
        artifact: A checkpoint, a folder, a log or a configuration.
        keeps: Whether a tree path or tensor name is looked at (``comparison.keys.keeps``); all are by default.
    """
    kept = keeps or (lambda _: True)
    optimizers = tuple(found for found in find_optimizers(artifact) if _keeps_optimizer(found, kept))
    schedulers = tuple(found for found in find_schedulers(artifact.tree) if kept(found.path or "_last_lr"))
    histories = tuple(found for found in find_histories(artifact.tree) if kept(found.path))
    settings = find_hyperparameters(artifact.tree, is_settings=not artifact.tensors and artifact.graph is None)
    settings = tuple(found for found in settings if kept(found.path))
    return Training(
        optimizers=optimizers,
        schedulers=schedulers,
        steps=tuple(entry for entry in _numbers(artifact.tree, _STEPS) if kept(entry.path)),
        epochs=tuple(entry for entry in _numbers(artifact.tree, ("epoch", "epochs_trained")) if kept(entry.path)),
        learning_rates=tuple(_learning_rates(optimizers, schedulers, histories, settings)),
        metrics=tuple(found for found in find_metrics(artifact.tree) if kept(found.path)),
        histories=histories,
        hyperparameters=settings,
    )


_STEPS = ("global_step", "step", "iteration", "iter_num", "num_updates", "iter", "steps")


def _keeps_optimizer(optimizer: Optimizer, kept: Callable[[str], bool]) -> bool:
    tensors = [ref for state in optimizer.states for ref in state.tensors.values()]
    return kept(below(optimizer.path, "param_groups")) if not tensors else any(kept(ref.name) for ref in tensors)


def _numbers(tree: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[Entry]:
    """Yield counts that stand at the top of a file, by how telling their names are."""
    places = [entry for _, entry in containers(tree) if not entry.path or _is_file(entry.path)]
    for name in names:
        for place in places:
            value = place.value.get(name)
            if (number(value) if name == "epoch" else whole(value)) is not None:
                yield Entry(below(place.path, name), value)


def _is_file(path: str) -> bool:
    return path.startswith('["') and path.endswith('"]') and path.count('["') == 1


_RATE_NAMES = frozenset(
    {"lr", "learning_rate", "lr0", "base_lr", "init_lr", "max_lr", "learning_rate_init", "ss_learning_rate"}
)


def _learning_rates(
    optimizers: tuple[Optimizer, ...],
    schedulers: tuple[Scheduler, ...],
    histories: tuple[History, ...],
    settings: tuple[Hyperparameter, ...],
) -> Iterator[LearningRate]:
    for optimizer in optimizers:
        for index, group in enumerate(optimizer.groups):
            if group.learning_rate is not None:
                yield LearningRate(group.path_of("lr"), group.learning_rate, "optimizer", index)
    for scheduler in schedulers:
        for index, rate in enumerate(scheduler.last_rates):
            yield LearningRate(f"{below(scheduler.path, '_last_lr')}[{index}]", rate, "scheduler", index)
    for history in histories:
        if is_learning_rate(history.name):
            yield LearningRate(history.path, history.values[-1], "log", None)
    for setting in settings:
        stated = number(setting.value)
        if stated is not None and is_learning_rate(setting.name):
            yield LearningRate(setting.path, stated, "settings", None)


def is_learning_rate(name: str) -> bool:
    """Whether a setting or a logged series of this name is a learning rate.

    Example:
        >>> [is_learning_rate(name) for name in ("optim.lr", "learning_rate", "lr/pg0", "lr-Adam", "lr_decay")]
        [True, True, True, True, False]
    """
    last = name.rpartition(".")[2].lower()
    return last in _RATE_NAMES or last.startswith(("lr/", "lr-", "train/learning_rate", "train/lr"))
