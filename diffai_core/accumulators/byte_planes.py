"""The bytes of the distances in units in the last place: how small a patch could be (A8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.accumulators.fold import NumericFold
from diffai_core.accumulators.ulp import count_without_nan, has_order, ordinals, part_width, pieces_without_nan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.layout import PairLayout


class BytePlanes(NamedTuple):
    """Bytes of the zig-zag distance of each pair without NaN: the distance with its sign in the lowest bit.

    Args:
        n: Number of pairs.
        counts: int64, shape ``(width / 8, 256)``: values of each byte, lowest first.
    """

    n: int
    counts: NDArray[np.int64]

    @property
    def delta_bits_per_element(self) -> float | None:
        """Entropy of the bytes of the distances in bits per value: the size of a patch; ``None`` without pairs."""
        if not self.n:
            return None
        shares = self.counts / self.n
        logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
        return float(-np.sum(shares * logs)) + 0.0


@dataclass
class BytePlanesState:
    """The fields of :class:`BytePlanes` so far."""

    n: int
    counts: NDArray[np.int64]


class BytePlanesFold(NumericFold[BytePlanesState, BytePlanes]):
    """Gathers :class:`BytePlanes`; for two numeric tensors of equal dtype other than bool."""

    def applies(self, layout: PairLayout) -> bool:
        """Whether bits can be compared."""
        return has_order(layout)

    def empty(self, layout: PairLayout) -> BytePlanesState:
        """See :meth:`NumericFold.empty`."""
        return BytePlanesState(0, np.zeros((part_width(layout.old_dtype) // 8, 256), np.int64))

    def add(self, state: BytePlanesState, block: Block) -> BytePlanesState:
        """See :meth:`NumericFold.add`."""
        if block.same:
            n = count_without_nan(block.old)
            state.n += n
            state.counts[:, 0] += n
            return state
        dtype = block.layout.old_dtype
        for old, new in pieces_without_nan(block):
            state.n += old.size
            planes = zigzag(ordinals(new, dtype) - ordinals(old, dtype)).reshape(-1, state.counts.shape[0])
            state.counts += np.stack([np.bincount(plane, minlength=256) for plane in planes.T])
        return state

    def join(self, left: BytePlanesState, right: BytePlanesState) -> BytePlanesState:
        """See :meth:`NumericFold.join`."""
        left.n += right.n
        left.counts += right.counts
        return left

    def result(self, state: BytePlanesState) -> BytePlanes:
        """See :meth:`NumericFold.result`."""
        return BytePlanes(state.n, state.counts)


def zigzag(steps: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of signed steps with the sign in the lowest bit: 0, -1, 1, -2, 2 ..."""
    return ((steps << 1) ^ (steps >> (8 * steps.itemsize - 1))).view(np.uint8)
