"""How the memory given is shared out: scratch of the workers, and the states of what is being measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.errors import UsageError
from diffai_core.layout import LEAF, SEGMENT_LEAVES, SMALL_STATE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.accumulators import Fold
    from diffai_core.layout import PairLayout

SCRATCH_BYTES = 16 << 20
"""What one thread needs besides the kernel: buffers for reading, and the scratch arrays of the folds (measured: 12 MiB
for all statistics of complex128)."""
_LEAST_ROOM = 1 << 20
_COPIES = 2
"""A part that is measured is held in the form of the kernel and in that of the fold."""


class Need(NamedTuple):
    """Memory for the states of one pair of tensors.

    Args:
        part_bytes: For each segment that is worked on or waits to be merged.
        whole_bytes: For what the segments are merged into.
    """

    part_bytes: int
    whole_bytes: int

    @property
    def total(self) -> int:
        """What is needed to get anywhere."""
        return self.part_bytes + self.whole_bytes


class Share(NamedTuple):
    """What is measured of tensors of one layout.

    Args:
        folds: What there is memory for.
        left_out: Names of the others.
        need: Memory for the states of ``folds``.
    """

    folds: Mapping[str, Fold[Any, Any]]
    left_out: tuple[str, ...]
    need: Need


@dataclass(frozen=True)
class Budget:
    """The memory of a pass.

    What is measured must not depend on the number of workers. So they get half of the memory at most, and what does not
    fit into the other half is not measured, however many workers there are.

    Args:
        max_memory: Bytes for buffers and states.
        jobs: Workers asked for.
        kernel_memory: Bytes that the kernel needs for each worker.

    Raises:
        UsageError: If the memory is too little for a single worker.
    """

    max_memory: int
    jobs: int
    kernel_memory: int = 0

    def __post_init__(self) -> None:
        least = self._worker_bytes + _LEAST_ROOM
        if self.max_memory < least:
            given = f"{self.max_memory >> 20}M" if self.max_memory >> 20 else f"{self.max_memory:,} bytes"
            raise UsageError(f"--max-memory: {given} is too little; the least that works here is {-(-least >> 20)}M")

    @property
    def _worker_bytes(self) -> int:
        return self.kernel_memory + SCRATCH_BYTES

    @cached_property
    def workers(self) -> int:
        """Number of workers that fit."""
        return max(1, min(self.jobs, self.max_memory // 2 // self._worker_bytes))

    @cached_property
    def room(self) -> int:
        """Bytes for states."""
        return self.max_memory - self.workers * self._worker_bytes

    def share(self, layout: PairLayout, folds: Mapping[str, Fold[Any, Any]]) -> Share:
        """Return which folds' states fit together; the largest are left out until they do."""
        most = self.max_memory - max(self._worker_bytes, self.max_memory // 2)
        needs = {name: need_of(layout, fold) for name, fold in folds.items()}
        kept = dict(folds)
        while sum(needs[name].total for name in kept) > most:
            del kept[max(kept, key=lambda name: needs[name].total)]
        return Share(kept, tuple(name for name in folds if name not in kept), need_of(layout, *kept.values()))


def need_of(layout: PairLayout, *folds: Fold[Any, Any]) -> Need:
    """Return the memory for the states of ``folds``."""
    numel = layout.numel
    segment = min(numel, LEAF * SEGMENT_LEAVES)
    return Need(
        _COPIES * sum(_state_bytes(fold, layout, segment) for fold in folds),
        sum(_state_bytes(fold, layout, numel) for fold in folds),
    )


def _state_bytes(fold: Fold[Any, Any], layout: PairLayout, n_elements: int) -> int:
    state_bytes = getattr(fold, "state_bytes", None)
    return SMALL_STATE_BYTES if state_bytes is None else int(state_bytes(layout, n_elements))


__all__ = ["Budget", "Need", "Share", "need_of"]
