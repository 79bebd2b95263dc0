"""The statistic: how many signs flipped. It rides in diffai's one pass over the files, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from diffai_core.plugin import Block, PairLayout


class Flips(NamedTuple):
    """How many values changed from above zero to below or back, of all that are finite on both sides."""

    n_flipped: int = 0
    n_values: int = 0


class SignFlips:
    """Counts sign flips. Blocks of a tensor may be counted in any pieces, by several workers, and merged."""

    def start(self, _layout: PairLayout) -> Flips:
        """Return the count of no elements."""
        return Flips()

    def update(self, state: Flips, block: Block) -> Flips:
        """Return the count with one more block."""
        if not block.layout.measurable:  # bytes that are no numbers have no sign
            return state
        flipped = np.sign(block.paired_old) * np.sign(block.paired_new) < 0
        return self.merge(state, Flips(int(np.count_nonzero(flipped)), flipped.size))

    def merge(self, left: Flips, right: Flips) -> Flips:
        """Return the count of both parts."""
        return Flips(left.n_flipped + right.n_flipped, left.n_values + right.n_values)

    def finish(self, state: Flips) -> Flips:
        """Return the result."""
        return state
