"""Measure one segment of a pair of tensors: the kernel takes what it can, the folds take the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from diffai_core.artifact import FileTensor
from diffai_core.reading import LeafReader, leaf_reader, same_leaf_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_core.accumulators import Fold, Workspace
    from diffai_core.artifact import TensorRef
    from diffai_core.kernels import Kernel, KernelWorker
    from diffai_core.layout import Leaf, PairLayout
    from diffai_core.specs import ReadingWay

Folds: TypeAlias = "Mapping[str, Fold[Any, Any]]"
States: TypeAlias = "dict[str, Any]"


class Worker:
    """What one thread works with, made when it is first needed.

    Args:
        kernel: Takes the core's statistics.
        reading: How the kernel gets at the bytes of files.
    """

    def __init__(self, kernel: Kernel, reading: ReadingWay) -> None:
        self.kernel = kernel
        self.reading: ReadingWay = reading
        self._kernel_worker: KernelWorker | None = None
        self._workspace: Workspace | None = None

    @property
    def kernel_worker(self) -> KernelWorker:
        """The scratch memory and the states of the kernel."""
        if self._kernel_worker is None:
            self._kernel_worker = self.kernel.worker(self.reading)
        return self._kernel_worker

    @property
    def workspace(self) -> Workspace:
        """The scratch arrays of the folds."""
        if self._workspace is None:
            from diffai_core.accumulators import Workspace

            self._workspace = Workspace()
        return self._workspace


@dataclass(frozen=True)
class Sides:
    """Both tensors and what reads them; ``new`` is ``old`` if one is measured against itself."""

    old: TensorRef
    new: TensorRef
    old_reader: LeafReader
    new_reader: LeafReader

    @classmethod
    def of(cls, old: TensorRef, new: TensorRef) -> Sides:
        """Open both, or the one that both are."""
        reader = leaf_reader(old)
        return cls(old, new, reader, reader if new is old else leaf_reader(new))


def measure_segment(layout: PairLayout, folds: Folds, sides: Sides, worker: Worker, leaves: Sequence[Leaf]) -> States:
    """Return the states of ``folds`` over consecutive leaves.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    fused = worker.kernel.statistics(layout) & folds.keys()
    states: States = {name: fold.start(layout) for name, fold in folds.items()}
    segment = _Segment(layout, folds, fused, sides, worker, states)
    if fused:
        worker.kernel_worker.start(layout, fused, leaves)
    if fused == folds.keys() and isinstance(sides.old, FileTensor) and isinstance(sides.new, FileTensor):
        segment.by_kernel(leaves, sides.old, sides.new)
    else:
        segment.leaf_by_leaf(leaves)
    segment.take_up_kernel_states()
    return states


@dataclass(frozen=True)
class _Segment:
    layout: PairLayout
    folds: Folds
    fused: frozenset[str]
    sides: Sides
    worker: Worker
    states: States

    def by_kernel(self, leaves: Sequence[Leaf], old: FileTensor, new: FileTensor) -> None:
        """Let the kernel read and measure; what it leaves goes to the folds."""
        kernel = self.worker.kernel_worker
        done = kernel.add(leaves, old, new)
        while done < len(leaves):
            self._measure(leaves[done], self.folds, *self._read(leaves[done]))
            leaves = leaves[done + 1 :]
            done = kernel.add(leaves, old, new) if leaves else 0

    def leaf_by_leaf(self, leaves: Sequence[Leaf]) -> None:
        """Read each leaf once, for the kernel and for the folds that are not the kernel's."""
        kernel = self.worker.kernel_worker
        own = {name: fold for name, fold in self.folds.items() if name not in self.fused}
        for leaf in leaves:
            old, new = self._read(leaf)
            done = self.fused and kernel.add((leaf,), old, new)
            if own or not done:
                self._measure(leaf, own if done else self.folds, old, new)

    def _read(self, leaf: Leaf) -> tuple[Any, Any]:
        """Return the elements of both sides, the same array twice where both are one tensor."""
        old = self.sides.old_reader.leaf(*leaf)
        return old, old if self.sides.new is self.sides.old else self.sides.new_reader.leaf(*leaf)

    def _measure(self, leaf: Leaf, folds: Folds, old: Any, new: Any) -> None:
        from diffai_core.accumulators import Block

        if self.fused & folds.keys():
            self.take_up_kernel_states()  # they cover earlier elements
        sides = self.sides
        same = new is old or (
            sides.old.dtype == sides.new.dtype and same_leaf_bytes(sides.old_reader, sides.new_reader)
        )
        block = Block(self.layout, self.worker.workspace, leaf[0], old, new, same)
        for name, fold in folds.items():
            self.states[name] = fold.update(self.states[name], block)

    def take_up_kernel_states(self) -> None:
        """Merge what the kernel has measured so far."""
        if not self.fused:
            return
        for name, state in self.worker.kernel_worker.states().items():
            self.states[name] = self.folds[name].merge(self.states[name], state)
