"""What the conclusions of a report are drawn from, counted and measured once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_layers import place
from diffai_lib_training import Metric, direction_of, training_of

from diffai_compare_report.weigh import changes_of, is_unchanged, numel, parameter_results, share
from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_training import History

    from diffai_compare_report.weigh import Change
    from diffai_core.plugin import Artifact, Comparison, Finding, PairResult

_MOST_METRICS = 10
_LONGEST_NUMBER = 32
_OF_THE_START = re.compile(r"(?:^|[^a-z])(?:before|initial|init|start)(?:$|[^a-z])", re.IGNORECASE)
"""Names of metrics that were taken before the training: they say nothing about what came of it."""


class NotFinite(NamedTuple):
    """A tensor with more values in NEW that are no numbers.

    Args:
        key: Its name.
        n_old: Values of OLD that are NaN or infinite.
        n_new: Values of NEW that are.
    """

    key: str
    n_old: int
    n_new: int


class MetricChange(NamedTuple):
    """A metric that both sides hold with different values.

    Args:
        name: What it is called.
        path: Where it stands in the tree.
        old: Its value in OLD.
        new: Its value in NEW.
        direction: ``lower`` or ``higher``: which is better; ``None`` if that is not known.
    """

    name: str
    path: str
    old: float
    new: float
    direction: str | None

    @property
    def is_better(self) -> bool | None:
        """Whether NEW is better; ``None`` where it is not known what is better."""
        return None if self.direction is None else (self.new < self.old) == (self.direction == "lower")


@dataclass(frozen=True)
class Survey:
    """A comparison and what its analyses found."""

    comparison: Comparison

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the other analyses found."""
        return self.comparison.findings

    @cached_property
    def parameters(self) -> list[PairResult]:
        """Results of the parameters, tied storage once."""
        return parameter_results(self.comparison)

    @cached_property
    def changes(self) -> list[Change]:
        """How much each parameter tensor changed, where that can be measured."""
        return changes_of(self.parameters)

    @property
    def n_tensors(self) -> int:
        """Parameter tensors of either side."""
        return len(self.parameters)

    @cached_property
    def n_unchanged(self) -> int:
        """Parameter tensors with equal values."""
        return sum(map(is_unchanged, self.parameters))

    @cached_property
    def n_changed(self) -> int:
        """Parameter tensors that stand on both sides and differ."""
        on_both = [result for result in self.parameters if result.pair.old is not None and result.pair.new is not None]
        return sum(not is_unchanged(result) and result.relation is not Relation.NOT_COMPARED for result in on_both)

    @cached_property
    def changed_parameter_share(self) -> float | None:
        """Share of the parameters that stand in tensors that are not unchanged."""
        n_all = sum(map(numel, self.parameters))
        return share(sum(numel(result) for result in self.parameters if not is_unchanged(result)), n_all)

    @cached_property
    def median_rel_change(self) -> float | None:
        """Median relative change of the changed tensors."""
        sizes = [change.rel_change for change in self.changes if change.rel_change is not None]
        return median(sizes) if sizes else None

    @cached_property
    def largest(self) -> Change | None:
        """The tensor that changed most, relative to its norm."""
        known = [change for change in self.changes if change.rel_change is not None]
        return max(known, key=lambda change: (change.rel_change or 0.0, change.key), default=None)

    @cached_property
    def not_finite(self) -> list[NotFinite]:
        """Tensors in which NEW has more NaN and infinities than OLD."""
        found = []
        for result in self.parameters:
            moments = result.statistics.get("moments")
            if moments is None or result.pair.old is None or result.pair.new is None:
                continue
            n_values = numel(result) * (2 if "complex" in result.pair.new.dtype.name else 1)
            item = NotFinite(result.pair.key, n_values - moments.old.n, n_values - moments.new.n)
            if item.n_new > item.n_old:
                found.append(item)
        return found

    @cached_property
    def blocks(self) -> tuple[list[str], list[str]]:
        """The numbers of the blocks in which something changed, and of those in which nothing did, in order."""
        changed: set[tuple[str, int]] = set()
        known: set[tuple[str, int]] = set()
        for result in self.parameters:
            where = place(result.pair.key)
            if where.block is None:
                continue
            known.add((where.prefix, where.block))
            if not is_unchanged(result):
                changed.add((where.prefix, where.block))
        return _ranges(changed), _ranges(known - changed)

    @cached_property
    def metrics(self) -> list[MetricChange]:
        """Metrics that both sides hold and that differ."""
        old, new = (_metrics(self.comparison, side) for side in (self.comparison.old, self.comparison.new))
        found = [
            MetricChange(name, new[name].path, old[name].value, new[name].value, new[name].direction)
            for name in new
            if name in old and old[name].value != new[name].value
        ]
        return found[:_MOST_METRICS]


def _metrics(comparison: Comparison, side: Artifact) -> dict[str, Metric]:
    """Return the metrics of one side by name: single numbers, the last of each history, numbers written as texts."""
    training = training_of(side, comparison.keys.keeps)
    known = [*training.metrics, *filter(None, map(_last, training.histories)), *_texts(comparison, side)]
    found: dict[str, Metric] = {}
    for metric in known:
        if math.isfinite(metric.value) and not _OF_THE_START.search(metric.name):
            found.setdefault(metric.name, metric)
    return found


def _last(history: History) -> Metric | None:
    """Return the last value of a history of which it is known what is better."""
    value = next((value for value in reversed(history.values) if math.isfinite(value)), None)
    if value is None or history.direction is None:
        return None
    return Metric(history.name, history.path, value, history.direction)


def _texts(comparison: Comparison, side: Artifact) -> Iterator[Metric]:
    """Yield the metrics in the metadata of safetensors, which holds texts alone."""
    metadata = side.tree.get("__metadata__")
    for name, text in metadata.items() if isinstance(metadata, dict) else ():
        path, value = f"__metadata__.{name}", _number(text)
        if value is not None and direction_of(str(name)) is not None and comparison.keys.keeps(path):
            yield Metric(str(name), path, value, direction_of(str(name)))


def _number(text: object) -> float | None:
    if not isinstance(text, str) or len(text) > _LONGEST_NUMBER:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _ranges(blocks: set[tuple[str, int]]) -> list[str]:
    """Return block numbers as ranges, each after the name of its stack: ``model.layers 0-3``."""
    stacks: dict[str, list[int]] = {}
    for prefix, block in sorted(blocks):
        stacks.setdefault(prefix, []).append(block)
    return [f"{prefix or 'block'} {_joined(numbers)}" for prefix, numbers in stacks.items()]


def _joined(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
