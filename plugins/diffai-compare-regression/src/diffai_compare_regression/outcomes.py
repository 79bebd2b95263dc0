"""Which metrics became worse by more than is tolerated, and what came into the tensors that should not be there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from diffai_compare_regression.measures import look_at_new
from diffai_compare_regression.metrics import metrics_of
from diffai_compare_regression.sameness import same_tree
from diffai_compare_regression.tolerances import tolerance_table
from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_regression.metrics import MetricPair, MetricValue
    from diffai_core.plugin import Comparison, PairResult

_ROUNDING = 1e-12
"""Differences of two decimal numbers are wrong by less than this share of the larger."""

Verdict = Literal["degraded", "worse, not significant", "within tolerance", "unchanged", "better", "unknown direction"]


@dataclass(frozen=True)
class Outcome:
    """What became of one metric.

    Args:
        pair: The metric on both sides.
        tolerance: How much worse is still no degradation, in its unit.
        verdict: What became of it.
        z: Standard errors between the degradation and the tolerance; ``None`` without standard errors.
        p: Chance of such a z if the degradation were no more than tolerated.
        p_adjusted: The same, adjusted for the number of metrics (Holm).
    """

    pair: MetricPair
    tolerance: float
    verdict: Verdict
    z: float | None = None
    p: float | None = None
    p_adjusted: float | None = None

    @property
    def status(self) -> str:
        """``measured`` with standard errors, ``unreplicated`` where each side has one value and nothing more."""
        if self.verdict == "unknown direction":
            return "not_measurable"
        return "unreplicated" if self.z is None else "measured"

    def row(self) -> dict[str, Any]:
        """Return plain values for the report."""
        pair = self.pair
        return {
            "name": pair.new.name,
            "path": pair.new.path,
            "old": pair.old.value,
            "new": pair.new.value,
            "delta": pair.delta,
            "direction": pair.direction,
            "degradation": pair.degradation,
            "tolerance": self.tolerance,
            "verdict": self.verdict,
            "status": self.status,
            "stderr_old": pair.old.stderr,
            "stderr_new": pair.new.stderr,
            "z": self.z,
            "p": self.p,
            "p_adjusted": self.p_adjusted,
        }


@dataclass(frozen=True)
class BrokenTensor:
    """A tensor of NEW with values that are not finite and were finite, or were not there, before."""

    key: str
    n_nan: int
    n_inf: int


@dataclass(frozen=True)
class Regression:
    """All that can have become worse.

    Args:
        outcomes: The metrics of both sides.
        lost_metrics: Metrics of OLD that NEW does not have.
        undirected_logs: Names of logs of both sides of which nothing tells whether they are metrics.
        broken: Tensors with new NaN or infinities.
        lost_tensors: Names of weights of OLD that NEW does not have.
        n_tensors: Tensors that were looked at.
        unchecked: Tensors that could not be looked at.
        same: Whether NEW is OLD in everything, so that nothing can be worse.
    """

    outcomes: tuple[Outcome, ...]
    lost_metrics: tuple[MetricValue, ...]
    undirected_logs: tuple[str, ...]
    broken: tuple[BrokenTensor, ...]
    lost_tensors: tuple[str, ...]
    n_tensors: int
    unchecked: tuple[str, ...]
    same: bool

    def having(self, verdict: Verdict) -> tuple[Outcome, ...]:
        """Return the metrics of which this became."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict == verdict)


def find_regression(comparison: Comparison, options: Mapping[str, Any]) -> Regression:
    """Return what became worse.

    Args:
        comparison: The artefacts after the pass, with ``counts`` of the changed tensors.
        options: ``metric_direction``, ``regression_tolerance`` and ``regression_alpha``.
    """
    metrics = metrics_of(comparison, options["metric_direction"])
    pairs = tuple(pair for pair in metrics.pairs if not pair.is_undirected_log)
    lost = tuple(result.pair.key for result in comparison.results if result.pair.new is None and _is_weight(result))
    return Regression(
        outcomes=_outcomes(pairs, options["regression_tolerance"], options["regression_alpha"]),
        lost_metrics=tuple(metric for metric in metrics.lost if metric.direction is not None),
        undirected_logs=tuple(pair.new.name for pair in metrics.pairs if pair.is_undirected_log),
        broken=tuple(_broken(comparison)),
        lost_tensors=lost,
        n_tensors=len(comparison.results),
        unchecked=tuple(result.pair.key for result in comparison.results if _is_unchecked(result)),
        same=_is_same(comparison),
    )


def _is_same(comparison: Comparison) -> bool:
    if comparison.keys.active:
        return False  # nobody looked at the rest
    old, new = comparison.old, comparison.new
    return (
        all(
            result.relation in {Relation.IDENTICAL, Relation.EQUAL_VALUES} and result.same_shape and result.same_dtype
            for result in comparison.results
        )
        and same_tree(old.tree, new.tree)
        and old.graph == new.graph
    )


# -- metrics ---------------------------------------------------------------------------------------------------


def _outcomes(pairs: Sequence[MetricPair], tolerances: Sequence[str], alpha: float) -> tuple[Outcome, ...]:
    table = tolerance_table(tolerances)
    limits = [
        table.of(pair.new.path, pair.new.name, pair.new.name.rpartition(".")[2]).of(pair.old.value) for pair in pairs
    ]
    tests = {
        index: _z_and_p(pair, limit)
        for index, (pair, limit) in enumerate(zip(pairs, limits, strict=True))
        if pair.stderr and pair.degradation is not None and math.isfinite(pair.degradation)
    }
    adjusted = _adjusted([p for _, p in tests.values()])
    found = []
    for index, (pair, limit) in enumerate(zip(pairs, limits, strict=True)):
        if index in tests:
            p_adjusted = adjusted[list(tests).index(index)]
            verdict = _verdict(pair, limit, is_significant=p_adjusted < alpha)
            found.append(Outcome(pair, limit, verdict, *tests[index], p_adjusted))
        else:
            found.append(Outcome(pair, limit, _verdict(pair, limit, is_significant=True)))
    return tuple(found)


def _z_and_p(pair: MetricPair, limit: float) -> tuple[float, float]:
    """Test one-sided whether the degradation is more than ``limit``."""
    assert pair.degradation is not None, "the caller made sure"
    assert pair.stderr, "the caller made sure"
    z = (pair.degradation - limit) / pair.stderr
    return z, 0.5 * math.erfc(z / math.sqrt(2))


def _adjusted(p_values: list[float]) -> list[float]:
    if not p_values:
        return []
    from diffai_lib_statistics import holm

    return [float(p) for p in holm(p_values)]


def _verdict(pair: MetricPair, limit: float, *, is_significant: bool) -> Verdict:
    worse = pair.degradation
    if worse is None:
        return "unknown direction"
    if worse == 0:
        return "unchanged"
    if worse < 0:
        return "better"
    sizes = [abs(value) for value in (pair.old.value, pair.new.value) if math.isfinite(value)]
    if worse - limit <= _ROUNDING * max(sizes, default=0.0):
        return "within tolerance"
    return "degraded" if is_significant else "worse, not significant"


# -- tensors ---------------------------------------------------------------------------------------------------


def _is_weight(result: PairResult) -> bool:
    return result.pair.old is not None and result.pair.old.role in {"weights", "adapter", "buffers"}


def _is_unchecked(result: PairResult) -> bool:
    return result.relation is Relation.NOT_COMPARED or "counts" in result.not_measured


def _broken(comparison: Comparison) -> Iterator[BrokenTensor]:
    """Yield the tensors of NEW that are less finite than those of OLD."""
    unpaired = [
        result.pair
        for result in comparison.results
        if result.relation is not Relation.NOT_COMPARED
        and result.pair.new is not None
        and "counts" not in result.statistics
        and result.relation is not Relation.IDENTICAL
        and result.pair.new.dtype.kind in {"float", "complex"}
    ]
    looked_at = comparison.map(look_at_new, unpaired, lambda pair: pair.new.nbytes if pair.new else 0)
    seen = {pair.key: values for pair, values in zip(unpaired, looked_at, strict=True) if values is not None}
    for result in comparison.results:
        key, counts = result.pair.key, result.statistics.get("counts")
        if key in seen and seen[key].n_nan + seen[key].n_inf:
            yield BrokenTensor(key, seen[key].n_nan, seen[key].n_inf)
        elif counts is not None:
            n_nan = counts.new.n_nan - counts.old.n_nan
            n_inf = counts.new.n_pos_inf + counts.new.n_neg_inf - counts.old.n_pos_inf - counts.old.n_neg_inf
            if n_nan > 0 or n_inf > 0:
                yield BrokenTensor(key, max(n_nan, 0), max(n_inf, 0))
