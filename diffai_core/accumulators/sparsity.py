"""Zeros in groups of four along the rows (A11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_core.accumulators.fold import NumericFold
from diffai_core.accumulators.matrix import zero_elements

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.layout import PairLayout

_GROUP = 4


class Sparsity(NamedTuple):
    """Groups of four consecutive elements of a row, by the number of zeros among them.

    All-zero rows and columns are in the results of ``rows`` and ``columns``.

    Args:
        old: int64, shape ``(5,)``: groups of OLD with 0 to 4 zeros.
        new: The same of NEW.
    """

    old: NDArray[np.int64]
    new: NDArray[np.int64]

    @property
    def old_2_4_share(self) -> float | None:
        """Share of the groups of OLD with two zeros or more; 1 for 2:4 sparsity."""
        return _share(self.old)

    @property
    def new_2_4_share(self) -> float | None:
        """Share of the groups of NEW with two zeros or more; 1 for 2:4 sparsity."""
        return _share(self.new)


class SparsityFold(NumericFold[Sparsity, Sparsity]):
    """Gathers :class:`Sparsity`; for rows whose length is a multiple of four."""

    def applies(self, layout: PairLayout) -> bool:
        """Whether rows can be cut into groups."""
        return layout.measurable and layout.columns % _GROUP == 0

    def empty(self, _layout: PairLayout) -> Sparsity:
        """See :meth:`NumericFold.empty`."""
        return Sparsity(np.zeros(_GROUP + 1, np.int64), np.zeros(_GROUP + 1, np.int64))

    def add(self, state: Sparsity, block: Block) -> Sparsity:
        """See :meth:`NumericFold.add`."""
        old = _zeros_by_group(zero_elements(block.old, block))
        return self.join(state, Sparsity(old, old if block.same else _zeros_by_group(zero_elements(block.new, block))))

    def join(self, left: Sparsity, right: Sparsity) -> Sparsity:
        """See :meth:`NumericFold.join`."""
        return Sparsity(left.old + right.old, left.new + right.new)

    def result(self, state: Sparsity) -> Sparsity:
        """See :meth:`NumericFold.result`."""
        return state


def _zeros_by_group(zeros: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the groups by number of zeros: the four bytes of a group add up in the top byte of their product."""
    words = zeros.view(np.uint32) * np.uint32(0x01010101)
    return np.bincount(words >> 24, minlength=_GROUP + 1).astype(np.int64)


def _share(groups: NDArray[np.int64]) -> float | None:
    n_groups = int(groups.sum())
    return int(groups[2:].sum()) / n_groups if n_groups else None
