"""The pass: every pair of tensors is looked at once, by as many workers as asked for, within the memory given.

Two streams of work run one behind the other on the same workers: the first look finds the pairs whose bytes differ, the
second measures them. Parts of many tensors are under way at a time, and all results come in the order of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from diffai_core.budget import Budget
from diffai_core.kernels import Kernel, ReferenceKernel
from diffai_core.measurements import MeasureBatch, MeasureLarge, Measurement
from diffai_core.measuring import TensorJob
from diffai_core.meter import Meter, NoMeter
from diffai_core.pairing import PairResult, Relation, TensorPair
from diffai_core.screening import Screened, Tools, is_large, screenings
from diffai_core.segments import Folds, Worker
from diffai_core.workers import PerThread, Workers, available_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from diffai_core.budget import Share
    from diffai_core.keys import Tolerances
    from diffai_core.layout import PairLayout
    from diffai_core.specs import ReadingWay, Scope
    from diffai_core.workers import Work

_SCOPES: tuple[Scope, ...] = ("changed", "paired", "all")
_SHARES_KEPT = 256


@dataclass(frozen=True)
class PassPlan:
    """What to measure, and with how much of the machine.

    Args:
        folds: Statistics by name; ``changes`` is always among them.
        scopes: For each fold, the tensors it is measured for.
        tolerances: How far values may differ.
        jobs: Number of worker threads; as many as there are cores, if the kernel gains by them, if not given.
        max_memory: Bytes for buffers and states; lowers the number of workers if it must.
        meter: Told how far the pass is.
        kernel: Takes the core's statistics.
        reading: How the bytes of files are got at.
    """

    folds: Folds
    scopes: Mapping[str, Scope]
    tolerances: Tolerances
    jobs: int | None = None
    max_memory: int = 256 << 20
    meter: Meter = field(default_factory=NoMeter)
    kernel: Kernel = field(default_factory=ReferenceKernel)
    reading: ReadingWay = "auto"

    def worker(self) -> Worker:
        """Return what a new thread works with."""
        return Worker(self.kernel, self.reading)

    @cached_property
    def budget(self) -> Budget:
        """How the memory is shared out.

        Raises:
            UsageError: If it is too little.
        """
        jobs = self.jobs or (available_cores() if self.kernel.parallel else 1)
        return Budget(self.max_memory, jobs, self.kernel.memory)

    @cached_property
    def share(self) -> Callable[[PairLayout, Scope], Share]:
        """Returns what is measured of tensors of one layout: changed ones, also unchanged, or also unpaired ones."""

        def share(layout: PairLayout, scope: Scope) -> Share:
            return self.budget.share(layout, self.folds_for(scope))

        return lru_cache(_SHARES_KEPT)(share)

    def wants(self, scope: Scope) -> bool:
        """Whether anything is measured of such pairs."""
        return any(_SCOPES.index(wanted) >= _SCOPES.index(scope) for wanted in self.scopes.values())

    def folds_for(self, scope: Scope) -> Folds:
        """Return what is measured of changed pairs (``changed``), also of identical ones, or also of unpaired ones."""
        wide_enough = _SCOPES[_SCOPES.index(scope) :]
        return {name: self.folds[name] for name in self.folds if self.scopes[name] in wide_enough}


def run_pass(plan: PassPlan, pairs: Iterable[TensorPair]) -> list[PairResult]:
    """Compare all pairs; return their results in the same order.

    A pair whose bytes cannot be read becomes ``NOT_COMPARED`` with the reason; the others go on.

    Raises:
        UsageError: If the memory given is too little to work with.
    """
    known = list(pairs)
    plan.meter.expect(sum(map(_payload, known)), len(known))
    tools = Tools(PerThread(plan.worker), plan.meter, Lock())
    results: list[PairResult] = []
    with Workers(plan.budget.workers, plan.budget.room) as workers:
        screened = workers.run(screenings(tools, known))
        for some in workers.run(_measurements(plan, tools, screened)):
            results.extend(some)
            plan.meter.add(0, len(some))
    return results


def _payload(pair: TensorPair) -> int:
    return sum(ref.nbytes for ref in (pair.old, pair.new) if ref is not None)


def _measurements(plan: PassPlan, tools: Tools, screened: Iterable[list[Screened]]) -> Iterator[Work]:
    """Yield the work of the second look; the results are lists of pair results, in the order of the pairs."""
    for group in screened:
        pairs = [_next(plan, one) for one in group]
        for one, following in zip(group, pairs, strict=True):
            remaining = _payload(one.pair) - one.n_told
            if isinstance(following, Measurement):
                plan.meter.expect(following.job.nbytes - remaining)
            else:
                plan.meter.add(remaining)
        first = pairs[0]
        if isinstance(first, Measurement) and first.job.in_files and is_large(first.pair):
            yield MeasureLarge(tools, first)
        else:
            yield MeasureBatch(tools, pairs)


def _next(plan: PassPlan, screened: Screened) -> PairResult | Measurement:
    """Return the result of a pair, or what has to be measured for it."""
    pair = screened.pair
    old, new = pair.old, pair.new
    if screened.reason:
        return PairResult(pair, Relation.NOT_COMPARED, reason=screened.reason)
    if old is None or new is None:
        return _of_one(plan, pair, "all")
    if old.shape != new.shape:  # with equal bytes it was only reshaped
        return PairResult(pair, Relation.IDENTICAL if screened.same else Relation.CHANGED)
    if screened.same:
        return _of_one(plan, pair, "paired", Relation.IDENTICAL)
    if old.dtype != new.dtype and "opaque" in {old.dtype.kind, new.dtype.kind}:
        return PairResult(pair, Relation.CHANGED)
    job = TensorJob.of(old, new, plan.tolerances.of(pair.key))
    return Measurement(pair, job, plan.share(job.layout, "changed"), is_open=True)


def _of_one(
    plan: PassPlan, pair: TensorPair, scope: Scope, relation: Relation | None = None
) -> PairResult | Measurement:
    """Measure a tensor against itself, if a statistic is wanted of it although nothing changed."""
    ref = pair.new or pair.old
    if ref is None or not plan.wants(scope):
        return PairResult(pair, relation)
    job = TensorJob.of(ref, ref, plan.tolerances.of(pair.key))
    return Measurement(pair, job, plan.share(job.layout, scope), relation)


__all__ = ["PassPlan", "run_pass"]
