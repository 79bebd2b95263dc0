"""Compare two tensors: whether their bytes differ, and by how much.

A tensor is cut into leaves by its shape alone, and leaves are gathered into segments. Statistics are updated leaf
by leaf and merged segment by segment in order, so that they depend neither on workers nor on buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from diffai_core.artifact import FileTensor, TensorRef
from diffai_core.layout import SEGMENT_LEAVES, Leaf, PairLayout, leaves
from diffai_core.reading import LeafReader, StreamLeaves, leaf_reader, same_bytes, same_leaf_bytes
from diffai_core.segments import Folds, Sides, States, Worker, measure_segment

if TYPE_CHECKING:
    from diffai_core.keys import Tolerance

OrderedMap = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Like ``map``; may run the calls side by side, but gives the results in order."""
Segment = tuple[Leaf, ...]
Tell = Callable[[int], None]
"""Called with the number of payload bytes of both sides that are done."""


@dataclass(frozen=True)
class TensorJob:
    """Two tensors with the same number of elements, laid out alike."""

    old: TensorRef
    new: TensorRef
    layout: PairLayout

    @classmethod
    def of(cls, old: TensorRef, new: TensorRef, tolerance: Tolerance) -> TensorJob:
        """Lay the elements of both out in the shape of ``old``."""
        return cls(old, new, PairLayout.of(old.shape, old.dtype, new.dtype, tolerance))

    @property
    def in_files(self) -> bool:
        """Whether any part can be read by itself."""
        return isinstance(self.old, FileTensor) and isinstance(self.new, FileTensor)

    @property
    def nbytes(self) -> int:
        """Payload bytes of both sides."""
        return self.old.nbytes + self.new.nbytes

    def segments(self) -> Iterator[Segment]:
        """Yield the units of work: runs of consecutive leaves, from the start to the end of the tensor."""
        remaining = leaves(self.layout)
        while segment := tuple(islice(remaining, SEGMENT_LEAVES)):
            yield segment

    def payload(self, segment: Segment) -> int:
        """Return the bytes of a segment on both sides; of quantised tensors, its share of what is stored."""
        count = sum(count for _, count in segment)
        if self.old.quantization is None and self.new.quantization is None:
            return count * (self.old.dtype.bits + self.new.dtype.bits) // 8
        return count * self.nbytes // max(self.layout.numel, 1)


def _ignore(_n_bytes: int) -> None:
    pass


def identical(job: TensorJob, worker: Callable[[], Worker], tell: Tell = _ignore) -> bool:
    """Whether both tensors have the same dtype and the same bytes; stops at the first difference.

    Args:
        job: The tensors.
        worker: Gives what the calling thread works with.
        tell: Told of bytes that are the same, before the end only where a loader decodes them.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    if job.old.dtype != job.new.dtype:
        return False
    if isinstance(job.old, FileTensor) and isinstance(job.new, FileTensor):
        return same_span(job.old, job.new, 0, job.old.nbytes, worker)
    old, new = leaf_reader(job.old), leaf_reader(job.new)
    for segment in job.segments():
        for leaf in segment:
            old.leaf(*leaf)
            new.leaf(*leaf)
            if not same_leaf_bytes(old, new):
                return False
        tell(job.payload(segment))
    _finish(old, new)
    return True


def _finish(*readers: LeafReader) -> None:
    """Run loaders that decode to their ends, where they may say that what they read is damaged."""
    for reader in dict.fromkeys(readers):
        if isinstance(reader, StreamLeaves):
            reader.finish()


def same_span(old: FileTensor, new: FileTensor, start: int, stop: int, worker: Callable[[], Worker]) -> bool:
    """Whether bytes ``start`` to ``stop`` of two tensors in files, and of what follows them, are equal.

    Raises:
        LoadError: If a file ends before.
    """
    if old.offset == new.offset and old.file.same_file(new.file):
        return True
    found = worker().kernel_worker.same_bytes(old, new, start, stop)
    return same_bytes(old, new, start, stop) if found is None else found


def measure(
    job: TensorJob,
    folds: Folds,
    worker: Callable[[], Worker],
    ordered_map: OrderedMap = map,
    tell: Tell = _ignore,
) -> dict[str, Any]:
    """Return the finished statistics of ``folds`` over both tensors.

    Args:
        job: The tensors.
        folds: What to measure, by name.
        worker: Gives what the calling thread works with.
        ordered_map: How the segments are worked on; tensors that must be decoded in order are not split.
        tell: Told of the bytes that are measured.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    sides = None if job.in_files else Sides.of(job.old, job.new)

    def work(segment: Segment) -> States:
        states = segment_states(job, folds, worker(), segment, sides)
        tell(job.payload(segment))
        return states

    total: States | None = None
    for part in map(work, job.segments()) if sides else ordered_map(work, job.segments()):
        total = merged(folds, total, part)
    if sides:
        _finish(sides.old_reader, sides.new_reader)
    return finished(job, folds, total)


def segment_states(
    job: TensorJob, folds: Folds, worker: Worker, segment: Segment, sides: Sides | None = None
) -> States:
    """Return the states of one segment; ``sides`` if they are open already.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    return measure_segment(job.layout, folds, sides or Sides.of(job.old, job.new), worker, segment)


def merged(folds: Folds, total: States | None, part: States) -> States:
    """Return the states with those of the next segment."""
    if total is None:
        return part
    return {name: fold.merge(total.pop(name), part.pop(name)) for name, fold in folds.items()}


def finished(job: TensorJob, folds: Folds, total: States | None) -> dict[str, Any]:
    """Return the results; ``total`` is ``None`` if there are no elements, and is used up."""
    if total is None:
        total = {name: fold.start(job.layout) for name, fold in folds.items()}
    return {name: fold.finish(total.pop(name)) for name, fold in folds.items()}
