"""Compare one pair of tensors: first whether the bytes differ, then, where they do, by how much.

A tensor is cut into leaves by its shape alone, and leaves are gathered into segments. Statistics are updated leaf
by leaf and merged segment by segment in order, so that they depend neither on workers nor on buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from diffai_core.artifact import FileTensor, TensorRef
from diffai_core.layout import SEGMENT_LEAVES, Leaf, PairLayout, leaves
from diffai_core.pairing import Relation
from diffai_core.reading import LeafReader, StreamLeaves, leaf_reader, same_bytes, same_leaf_bytes
from diffai_core.segments import Folds, Sides, Worker, measure_segment

if TYPE_CHECKING:
    from diffai_core.keys import Tolerance

OrderedMap = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Like ``map``; may run the calls side by side, but gives the results in order."""


@dataclass(frozen=True)
class TensorJob:
    """Two tensors with the same number of elements, and what to measure on them."""

    old: TensorRef
    new: TensorRef
    layout: PairLayout

    @classmethod
    def of(cls, old: TensorRef, new: TensorRef, tolerance: Tolerance) -> TensorJob:
        """Lay the elements of both out in the shape of ``old``."""
        return cls(old, new, PairLayout.of(old.shape, old.dtype, new.dtype, tolerance))

    def segments(self) -> Iterator[tuple[Leaf, ...]]:
        """Yield the units of work: runs of consecutive leaves, from the start to the end of the tensor."""
        remaining = leaves(self.layout)
        while segment := tuple(islice(remaining, SEGMENT_LEAVES)):
            yield segment


def identical(job: TensorJob, worker: Callable[[], Worker], ordered_map: OrderedMap = map) -> bool:
    """Whether both tensors have the same dtype and the same bytes; stops at the first difference.

    Args:
        job: The tensors.
        worker: Gives what the calling thread works with.
        ordered_map: How the segments are worked on.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    if job.old.dtype != job.new.dtype:
        return False
    if isinstance(job.old, FileTensor) and isinstance(job.new, FileTensor):
        return all(ordered_map(partial(_same_segment_bytes, worker, job.old, job.new), job.segments()))
    old, new = leaf_reader(job.old), leaf_reader(job.new)
    same = all(_same_leaf(old, new, leaf) for leaf in leaves(job.layout))
    if same:
        _finish(old, new)
    return same


def _same_leaf(old: LeafReader, new: LeafReader, leaf: Leaf) -> bool:
    old.leaf(*leaf)
    new.leaf(*leaf)
    return same_leaf_bytes(old, new)


def _same_segment_bytes(
    worker: Callable[[], Worker], old: FileTensor, new: FileTensor, segment: tuple[Leaf, ...]
) -> bool:
    if old.offset == new.offset and old.file.same_file(new.file):
        return True
    start, stop = old.dtype.nbytes(segment[0][0]), -(-sum(segment[-1]) * old.dtype.bits // 8)
    found = worker().kernel_worker.same_bytes(old, new, start, stop)
    return same_bytes(old, new, start, stop) if found is None else found


def measure(
    job: TensorJob, folds: Folds, worker: Callable[[], Worker], ordered_map: OrderedMap = map
) -> dict[str, Any]:
    """Return the finished statistics of ``folds`` over both tensors.

    Args:
        job: The tensors.
        folds: What to measure, by name.
        worker: Gives what the calling thread works with.
        ordered_map: How the segments are worked on; tensors that must be decoded in order are not split.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    if isinstance(job.old, FileTensor) and isinstance(job.new, FileTensor):

        def work(segment: tuple[Leaf, ...]) -> dict[str, Any]:
            own = worker()
            return measure_segment(job.layout, folds, Sides.of(job.old, job.new, own), own, segment)

        states = _merge(folds, ordered_map(work, job.segments()), job.layout)
    else:
        own = worker()
        sides = Sides.of(job.old, job.new, own)
        in_order = (measure_segment(job.layout, folds, sides, own, segment) for segment in job.segments())
        states = _merge(folds, in_order, job.layout)
        _finish(sides.old_reader, sides.new_reader)
    return {name: fold.finish(states[name]) for name, fold in folds.items()}


def _merge(folds: Folds, parts: Iterable[dict[str, Any]], layout: PairLayout) -> dict[str, Any]:
    total: dict[str, Any] | None = None
    for part in parts:
        total = part if total is None else {name: fold.merge(total[name], part[name]) for name, fold in folds.items()}
    return {name: fold.start(layout) for name, fold in folds.items()} if total is None else total


def _finish(*readers: LeafReader) -> None:
    for reader in dict.fromkeys(readers):
        if isinstance(reader, StreamLeaves):
            reader.finish()


def relation_of(changes: Any) -> Relation:
    """Return how two tensors whose bytes differ compare, from the finished ``changes`` statistic."""
    if changes.n_changed == 0:
        return Relation.EQUAL_VALUES
    if changes.n_above_tol == 0:
        return Relation.WITHIN_TOLERANCE
    return Relation.CHANGED
