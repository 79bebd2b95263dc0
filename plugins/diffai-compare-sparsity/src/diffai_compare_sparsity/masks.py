"""The statistic: how many elements are zero on both sides. It rides in the one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.plugin import Block, PairLayout


class CommonZeros:
    """Counts elements that are zero in OLD and in NEW; both parts of complex ones."""

    def start(self, _layout: PairLayout) -> int:
        """Return the count of no elements."""
        return 0

    def update(self, state: int, block: Block) -> int:
        """Return the count with one more block."""
        if not block.layout.measurable:
            return state
        zeros: NDArray[np.bool_] = np.equal(block.old.numbers, 0)
        if not block.same and zeros.any():
            zeros &= np.equal(block.new.numbers, 0)
        if block.layout.components > 1:
            zeros = zeros[0::2] & zeros[1::2]
        return state + int(np.count_nonzero(zeros))

    def merge(self, left: int, right: int) -> int:
        """Return the count of both parts."""
        return left + right

    def finish(self, state: int) -> int:
        """Return the result."""
        return state
