"""The pass: every pair of tensors is read once, by as many workers as asked for, within the memory given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING

from diffai_core.errors import LoadError
from diffai_core.kernels import Kernel, ReferenceKernel
from diffai_core.layout import LEAF, SEGMENT_LEAVES
from diffai_core.measuring import OrderedMap, TensorJob, identical, measure, relation_of
from diffai_core.pairing import PairResult, Relation, TensorPair
from diffai_core.segments import Folds, Worker
from diffai_core.workers import WINDOW, PerThread, Workers, available_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from diffai_core.artifact import TensorRef
    from diffai_core.keys import Tolerances
    from diffai_core.specs import ReadingWay, Scope

_BATCH_ELEMENTS = LEAF * SEGMENT_LEAVES
"""Tensors up to this size are gathered into one task; larger ones are split over the workers."""
_BATCH_TENSORS = 256
_WORKER_BYTES = 8 << 20
"""Buffers, scratch and partial results of one worker, rounded up."""


@dataclass(frozen=True)
class PassPlan:
    """What to measure, and with how much of the machine.

    Args:
        folds: Statistics by name; ``changes`` is always among them.
        scopes: For each fold, the tensors it is measured for.
        tolerances: How far values may differ.
        jobs: Number of worker threads; as many as there are cores, if the kernel gains by them, if not given.
        max_memory: Bytes for buffers; lowers the number of workers if it must.
        progress: Called with the number of payload bytes done, from the main thread.
        kernel: Takes the core's statistics.
        reading: How the bytes of files are got at.
    """

    folds: Folds
    scopes: Mapping[str, Scope]
    tolerances: Tolerances
    jobs: int | None = None
    max_memory: int = 256 << 20
    progress: Callable[[int], None] = field(default=lambda _n_bytes: None)
    kernel: Kernel = field(default_factory=ReferenceKernel)
    reading: ReadingWay = "auto"

    def worker(self) -> Worker:
        """Return what a new thread works with."""
        return Worker(self.kernel, self.reading)

    @property
    def workers(self) -> int:
        """Workers that fit into the memory."""
        jobs = self.jobs or (available_cores() if self.kernel.parallel else 1)
        return max(1, min(jobs, self.max_memory // (_WORKER_BYTES * WINDOW)))

    @cached_property
    def folds_of_changed(self) -> Folds:
        """What is measured of two tensors whose bytes differ."""
        return self._folds("changed", "paired", "all")

    @cached_property
    def folds_of_identical(self) -> Folds:
        """What is measured also of two tensors whose bytes are equal."""
        return self._folds("paired", "all")

    @cached_property
    def folds_of_unpaired(self) -> Folds:
        """What is measured also of tensors that were added or removed."""
        return self._folds("all")

    def _folds(self, *scopes: Scope) -> Folds:
        return {name: self.folds[name] for name in self.folds if self.scopes[name] in scopes}


def run_pass(plan: PassPlan, pairs: Iterable[TensorPair]) -> list[PairResult]:
    """Compare all pairs; return their results in the same order.

    A pair whose bytes cannot be read becomes ``NOT_COMPARED`` with the reason; the others go on.
    """
    results: list[PairResult] = []
    own = PerThread(plan.worker)
    with Workers(plan.workers) as workers:
        one_by_one = partial(_compare, plan, own)
        for split, group in groupby(pairs, key=_is_large):
            if split:
                compared: Iterator[list[PairResult]] = ([one_by_one(workers.map, pair)] for pair in group)
            else:
                compared = workers.map(lambda batch: [one_by_one(map, pair) for pair in batch], _batches(group))
            for part in compared:
                results.extend(part)
                plan.progress(sum(_payload(result.pair) for result in part))
    return results


def _is_large(pair: TensorPair) -> bool:
    return max(ref.numel for ref in (pair.old, pair.new) if ref is not None) > _BATCH_ELEMENTS


def _batches(pairs: Iterable[TensorPair]) -> Iterator[list[TensorPair]]:
    """Gather small pairs into tasks worth handing out."""
    batch: list[TensorPair] = []
    size = 0
    for pair in pairs:
        batch.append(pair)
        size += (pair.new or pair.old).numel  # type: ignore[union-attr]  # one of them is there
        if size >= _BATCH_ELEMENTS or len(batch) == _BATCH_TENSORS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _payload(pair: TensorPair) -> int:
    return sum(ref.nbytes for ref in (pair.old, pair.new) if ref is not None)


def _compare(plan: PassPlan, worker: Callable[[], Worker], ordered_map: OrderedMap, pair: TensorPair) -> PairResult:
    try:
        if pair.old is None or pair.new is None:
            return _measure_alone(plan, worker, ordered_map, pair)
        if pair.old.shape != pair.new.shape:
            return PairResult(pair, _relation_of_unequal_shapes(plan, worker, ordered_map, pair.old, pair.new))
        return _compare_equal_shapes(plan, worker, ordered_map, pair, pair.old, pair.new)
    except LoadError as error:
        return PairResult(pair, Relation.NOT_COMPARED, reason=str(error))


def _measure_alone(
    plan: PassPlan, worker: Callable[[], Worker], ordered_map: OrderedMap, pair: TensorPair
) -> PairResult:
    """Measure an added or removed tensor against itself, if a statistic is wanted for all tensors."""
    ref = pair.new or pair.old
    folds = plan.folds_of_unpaired
    if ref is None or not folds:
        return PairResult(pair, None)
    job = TensorJob.of(ref, ref, plan.tolerances.of(pair.key))
    return PairResult(pair, None, measure(job, folds, worker, ordered_map))


def _relation_of_unequal_shapes(
    plan: PassPlan, worker: Callable[[], Worker], ordered_map: OrderedMap, old: TensorRef, new: TensorRef
) -> Relation:
    """``IDENTICAL`` means that the tensor was only reshaped."""
    if old.numel != new.numel:
        return Relation.CHANGED
    job = TensorJob.of(old, new, plan.tolerances.of(new.name))
    return Relation.IDENTICAL if identical(job, worker, ordered_map) else Relation.CHANGED


def _compare_equal_shapes(
    plan: PassPlan,
    worker: Callable[[], Worker],
    ordered_map: OrderedMap,
    pair: TensorPair,
    old: TensorRef,
    new: TensorRef,
) -> PairResult:
    tolerance = plan.tolerances.of(pair.key)
    if identical(TensorJob.of(old, new, tolerance), worker, ordered_map):
        folds = plan.folds_of_identical
        statistics = measure(TensorJob.of(new, new, tolerance), folds, worker, ordered_map) if folds else {}
        return PairResult(pair, Relation.IDENTICAL, statistics)
    if old.dtype != new.dtype and "opaque" in {old.dtype.kind, new.dtype.kind}:
        return PairResult(pair, Relation.CHANGED)
    statistics = measure(TensorJob.of(old, new, tolerance), plan.folds_of_changed, worker, ordered_map)
    return PairResult(pair, relation_of(statistics["changes"]), statistics)


__all__ = ["PassPlan", "run_pass"]
