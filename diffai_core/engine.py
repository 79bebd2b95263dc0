"""The pass: every pair of tensors is read once, by as many workers as asked for, within the memory given."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Self, TypeVar

from diffai_core.errors import LoadError
from diffai_core.layout import LEAF, SEGMENT_LEAVES
from diffai_core.measuring import Folds, OrderedMap, TensorJob, identical, measure, relation_of
from diffai_core.pairing import PairResult, Relation, TensorPair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor, Future

    from diffai_core.accumulators import Workspace
    from diffai_core.artifact import TensorRef
    from diffai_core.keys import Tolerances
    from diffai_core.specs import Scope

_T = TypeVar("_T")
_R = TypeVar("_R")

_BATCH_ELEMENTS = LEAF * SEGMENT_LEAVES
"""Tensors up to this size are gathered into one task; larger ones are split over the workers."""
_BATCH_TENSORS = 256
_WINDOW = 4
"""Tasks in flight for each worker: enough to keep it busy, few enough to bound the results held."""
_WORKER_BYTES = 8 << 20
"""Buffers, scratch and partial results of one worker, rounded up."""


@dataclass(frozen=True)
class PassPlan:
    """What to measure, and with how much of the machine.

    Args:
        folds: Statistics by name; ``changes`` is always among them.
        scopes: For each fold, the tensors it is measured for.
        tolerances: How far values may differ.
        jobs: Number of worker threads.
        max_memory: Bytes for buffers; lowers the number of workers if it must.
        progress: Called with the number of payload bytes done, from the main thread.
    """

    folds: Folds
    scopes: Mapping[str, Scope]
    tolerances: Tolerances
    jobs: int = 1
    max_memory: int = 256 << 20
    progress: Callable[[int], None] = field(default=lambda _n_bytes: None)

    @property
    def workers(self) -> int:
        """Workers that fit into the memory."""
        return max(1, min(self.jobs, self.max_memory // (_WORKER_BYTES * _WINDOW)))

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
    with Workers(plan.workers) as workers:
        one_by_one = partial(_compare, plan, workers.workspace)
        for split, group in groupby(pairs, key=_is_large):
            if split:
                compared: Iterator[list[PairResult]] = ([one_by_one(workers.map, pair)] for pair in group)
            else:
                compared = workers.map(lambda batch: [one_by_one(map, pair) for pair in batch], _batches(group))
            for part in compared:
                results.extend(part)
                plan.progress(sum(_payload(result.pair) for result in part))
    return results


class Workers:
    """Threads that work side by side and hand back results in order. A context manager.

    Args:
        count: Number of threads; with 1 everything runs in the calling thread.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: Executor | None = None
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            # After an error nobody wants the results: do not wait for what is still running.
            self._pool.shutdown(wait=error is None, cancel_futures=True)

    def _threads(self) -> Executor:
        """Start the threads when there is something to share, not before: small inputs need none."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="diffai")
        return self._pool

    def workspace(self) -> Workspace:
        """Return the scratch arrays of the calling thread."""
        if not hasattr(self._local, "workspace"):
            from diffai_core.accumulators import Workspace

            self._local.workspace = Workspace()
        found: Workspace = self._local.workspace
        return found

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """Call ``function`` on each item; yield the results in the order of the items, few of them waiting."""
        remaining = iter(items)
        first = list(islice(remaining, 2))
        if self._count == 1 or len(first) == 1:
            yield from map(function, chain(first, remaining))
            return
        pool, remaining = self._threads(), chain(first, remaining)
        pending: deque[Future[_R]] = deque()
        try:
            pending.extend(pool.submit(function, item) for item in islice(remaining, self._count * _WINDOW))
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()


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


def _compare(
    plan: PassPlan, workspace: Callable[[], Workspace], ordered_map: OrderedMap, pair: TensorPair
) -> PairResult:
    try:
        if pair.old is None or pair.new is None:
            return _measure_alone(plan, workspace, ordered_map, pair)
        if pair.old.shape != pair.new.shape:
            return PairResult(pair, _relation_of_unequal_shapes(plan, ordered_map, pair.old, pair.new))
        return _compare_equal_shapes(plan, workspace, ordered_map, pair, pair.old, pair.new)
    except LoadError as error:
        return PairResult(pair, Relation.NOT_COMPARED, reason=str(error))


def _measure_alone(
    plan: PassPlan, workspace: Callable[[], Workspace], ordered_map: OrderedMap, pair: TensorPair
) -> PairResult:
    """Measure an added or removed tensor against itself, if a statistic is wanted for all tensors."""
    ref = pair.new or pair.old
    folds = plan.folds_of_unpaired
    if ref is None or not folds:
        return PairResult(pair, None)
    job = TensorJob.of(ref, ref, plan.tolerances.of(pair.key))
    return PairResult(pair, None, measure(job, folds, workspace, ordered_map))


def _relation_of_unequal_shapes(plan: PassPlan, ordered_map: OrderedMap, old: TensorRef, new: TensorRef) -> Relation:
    """``IDENTICAL`` means that the tensor was only reshaped."""
    if old.numel != new.numel:
        return Relation.CHANGED
    job = TensorJob.of(old, new, plan.tolerances.of(new.name))
    return Relation.IDENTICAL if identical(job, ordered_map) else Relation.CHANGED


def _compare_equal_shapes(
    plan: PassPlan,
    workspace: Callable[[], Workspace],
    ordered_map: OrderedMap,
    pair: TensorPair,
    old: TensorRef,
    new: TensorRef,
) -> PairResult:
    tolerance = plan.tolerances.of(pair.key)
    if identical(TensorJob.of(old, new, tolerance), ordered_map):
        folds = plan.folds_of_identical
        statistics = measure(TensorJob.of(new, new, tolerance), folds, workspace, ordered_map) if folds else {}
        return PairResult(pair, Relation.IDENTICAL, statistics)
    if old.dtype != new.dtype and "opaque" in {old.dtype.kind, new.dtype.kind}:
        return PairResult(pair, Relation.CHANGED)
    statistics = measure(TensorJob.of(old, new, tolerance), plan.folds_of_changed, workspace, ordered_map)
    return PairResult(pair, relation_of(statistics["changes"]), statistics)


__all__ = ["PassPlan", "Workers", "run_pass"]
