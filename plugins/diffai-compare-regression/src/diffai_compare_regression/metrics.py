"""The metrics that both sides have, and what became of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_compare_regression.directions import parse_direction
from diffai_compare_regression.measures import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from diffai_compare_regression.directions import Direction
    from diffai_core.plugin import Artifact, Comparison

_MOST_PLACES = 200_000
_METADATA = "__metadata__"
_NUMBER = re.compile(
    r"\s*[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf)\s*", re.ASCII | re.IGNORECASE
)
_WAYS: dict[str, Direction] = {"lower": "min", "higher": "max"}
_ERROR_NAMES = ("{0}_stderr{1}", "{0}_std_err{1}", "{0}_standard_error{1}", "{0}_se{1}", "stderr_{0}{1}")


@dataclass(frozen=True)
class MetricValue:
    """A metric of one side.

    Args:
        name: What it is called.
        path: Its place in the tree; of a log, that of the log.
        value: The number; of a log, the last one. NaN where NaN was written.
        direction: Which way it is better; ``None`` if nothing tells.
        stderr: Its standard error, if the file gives one.
        is_log: Whether it is the end of a log; a log whose direction nothing tells need not be a metric.
    """

    name: str
    path: str
    value: float
    direction: Direction | None
    stderr: float | None = None
    is_log: bool = False


@dataclass(frozen=True)
class MetricPair:
    """A metric that both sides have.

    Args:
        old: In OLD.
        new: In NEW.
        direction: Which way it is better; ``None`` if nothing tells, or if the sides say two things.
    """

    old: MetricValue
    new: MetricValue
    direction: Direction | None

    @property
    def delta(self) -> float:
        """NEW - OLD; 0 where both are the same infinity, NaN where one is NaN."""
        if self.old.value == self.new.value or (math.isnan(self.old.value) and math.isnan(self.new.value)):
            return 0.0
        return self.new.value - self.old.value

    @property
    def degradation(self) -> float | None:
        """How much worse NEW is, negative if it is better, infinite if it is NaN; ``None`` without a direction."""
        delta = self.delta
        if delta == 0:
            return 0.0
        if math.isnan(delta):
            return math.inf if math.isnan(self.new.value) else -math.inf
        if self.direction is None:
            return None
        return delta if self.direction == "min" else -delta

    @property
    def is_undirected_log(self) -> bool:
        """Whether it is a log of which nothing tells that it is a metric."""
        return self.direction is None and self.new.is_log

    @property
    def stderr(self) -> float | None:
        """Standard error of the difference of two independent values; ``None`` unless both sides give theirs."""
        if self.old.stderr is None or self.new.stderr is None:
            return None
        return math.hypot(self.old.stderr, self.new.stderr)


@dataclass(frozen=True)
class Metrics:
    """The metrics of both sides.

    Args:
        pairs: Those of both.
        lost: Those of OLD alone.
        new: All of NEW.
    """

    pairs: tuple[MetricPair, ...]
    lost: tuple[MetricValue, ...]
    new: tuple[MetricValue, ...]

    def value_in_new(self, name: str) -> Reading:
        """Return the value of a metric in NEW, by its name or its path."""
        found = _called(name, self.new)
        if len(found) != 1:
            return Reading(None, _none_or_several(name, found, self.new, "NEW"))
        if math.isnan(found[0].value):
            return Reading(None, f"{name} is NaN")
        return Reading(found[0].value)

    def degradation(self, name: str) -> Reading:
        """Return how much worse a metric became, by its name or its path."""
        known = [pair.new for pair in self.pairs]
        found = _called(name, known)
        if len(found) != 1:
            return Reading(None, _none_or_several(name, found, known, "both OLD and NEW"))
        degradation = self.pairs[known.index(found[0])].degradation
        if degradation is None:
            return Reading(None, f"nothing says which way {name} is better; add --metric-direction {name}=max or =min")
        return Reading(degradation)


def metrics_of(comparison: Comparison, directions: Sequence[str]) -> Metrics:
    """Return the metrics of both sides.

    Args:
        comparison: The artefacts; keys that are not looked at have no metrics.
        directions: Which way metrics are better, as the user says it: ``name=max``.
    """
    said = dict(map(parse_direction, directions))
    old, new = (_values_of(side, comparison, said) for side in (comparison.old, comparison.new))
    partners = dict(_partners(old, new))
    nan = _nan_places(comparison.new) if len(partners) < len(old) else frozenset()
    pairs, lost = [], []
    for metric in old:
        partner = partners.get(metric)
        if partner is None and metric.path in nan:
            partner = MetricValue(metric.name, metric.path, math.nan, metric.direction)
        if partner is None:
            lost.append(metric)
        else:
            told = {metric.direction, partner.direction} - {None}
            pairs.append(MetricPair(metric, partner, told.pop() if len(told) == 1 else None))
    return Metrics(tuple(pairs), tuple(lost), tuple(new))


def _partners(old: Sequence[MetricValue], new: Sequence[MetricValue]) -> Iterator[tuple[MetricValue, MetricValue]]:
    """Pair by place, and what has no partner there by name where it occurs once on both sides."""
    at = {(metric.path, metric.name): metric for metric in new}
    left = []
    for metric in old:
        partner = at.pop((metric.path, metric.name), None)
        if partner is None:
            left.append(metric)
        else:
            yield metric, partner
    before, after = _single(left), _single(at.values())
    yield from ((metric, after[name]) for name, metric in before.items() if name in after)


def _single(metrics: Iterable[MetricValue]) -> dict[str, MetricValue]:
    by_name: dict[str, list[MetricValue]] = {}
    for metric in metrics:
        by_name.setdefault(metric.name, []).append(metric)
    return {name: found[0] for name, found in by_name.items() if len(found) == 1}


def _values_of(side: Artifact, comparison: Comparison, said: Mapping[str, Direction]) -> list[MetricValue]:
    from diffai_lib_training.metrics import find_histories, find_metrics
    from diffai_lib_training.training import is_learning_rate

    keeps = comparison.keys.keeps
    metrics = [metric for metric in find_metrics(side.tree) if keeps(metric.path)]
    errors = _standard_errors(side) if metrics else {}
    found = [
        MetricValue(metric.name, metric.path, metric.value, _direction(metric, said), errors.get(metric.path))
        for metric in metrics
    ]
    found += [
        MetricValue(history.name, history.path, history.values[-1], _direction(history, said), is_log=True)
        for history in find_histories(side.tree)
        if keeps(history.path) and not is_learning_rate(history.name)
    ]
    return [*found, *_from_metadata(side, comparison, said)]


def _from_metadata(side: Artifact, comparison: Comparison, said: Mapping[str, Direction]) -> Iterator[MetricValue]:
    """Yield the metrics in the metadata of safetensors files, where every value is a text."""
    from diffai_lib_training import direction_of
    from diffai_lib_training.tree import below

    for path, values in _dicts(side.tree):
        if not path.endswith(_METADATA):
            continue
        for name, value in values.items():
            place = below(path, str(name))
            direction = said.get(place) or said.get(str(name)) or _WAYS.get(direction_of(str(name)) or "")
            if direction and isinstance(value, str) and _NUMBER.fullmatch(value) and comparison.keys.keeps(place):
                yield MetricValue(str(name), place, float(value), direction)


def _direction(metric: Any, said: Mapping[str, Direction]) -> Direction | None:
    last = metric.name.rpartition(".")[2]
    told = said.get(metric.path) or said.get(metric.name) or said.get(last)
    return told or _WAYS.get(metric.direction or "")


# -- what stands beside the metrics ----------------------------------------------------------------------------


def _dicts(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every dict of a tree with its path, one that is shared once; a tree that is too large not to its end."""
    from diffai_lib_training.tree import below

    waiting: list[tuple[str, Any]] = [("", dict(tree))]
    seen: set[int] = set()
    for path, value in waiting:
        is_dict = isinstance(value, dict)
        if is_dict:
            yield path, value
        for key, child in value.items() if is_dict else enumerate(value):
            is_new = isinstance(child, dict | list | tuple) and id(child) not in seen
            if is_new and len(waiting) < _MOST_PLACES:
                seen.add(id(child))
                waiting.append((below(path, str(key)) if is_dict else f"{path}[{key}]", child))


def _standard_errors(side: Artifact) -> dict[str, float]:
    """Return the standard errors that stand beside metrics, by the path of the metric: ``acc_stderr`` of ``acc``."""
    from diffai_lib_training.tree import below, number

    found: dict[str, float] = {}
    for path, values in _dicts(side.tree):
        if not any("std" in str(key) or "standard" in str(key) or "_se" in str(key) for key in values):
            continue
        for key in values:
            stem, comma, rest = str(key).partition(",")
            for form in _ERROR_NAMES:
                error = number(values.get(form.format(stem, comma + rest)))
                if error is not None and 0 <= error < math.inf:
                    found.setdefault(below(path, str(key)), error)
    return found


def _nan_places(side: Artifact) -> frozenset[str]:
    """Return the paths at which NaN stands."""
    from diffai_lib_training.tree import below

    return frozenset(
        below(path, str(key))
        for path, values in _dicts(side.tree)
        for key, value in values.items()
        if isinstance(value, float) and math.isnan(value)
    )


def _called(name: str, metrics: Sequence[MetricValue]) -> list[MetricValue]:
    """Return the metric at a path, or else those that are called so, by all of their names or by the last words."""
    at_path = [metric for metric in metrics if metric.path == name]
    return at_path or [metric for metric in metrics if metric.name == name or metric.name.endswith(f".{name}")]


def _none_or_several(name: str, found: Sequence[MetricValue], known: Sequence[MetricValue], where: str) -> str:
    if found:
        return f"{len(found)} metrics are called {name}; write the path of one: {found[0].path}"
    names = sorted({metric.name for metric in known})
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")  # noqa: PLR2004 - a line
    return f"no metric {name} in {where} (there are: {shown or 'none'}); give the folder with the results"
