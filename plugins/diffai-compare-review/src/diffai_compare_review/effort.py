"""How much is read again after the pass."""

from __future__ import annotations

from typing import NamedTuple


class Effort(NamedTuple):
    """How much is read.

    Args:
        side: Most rows and columns of a window.
        rank_side: Most rows and columns of the window whose rank is tested.
        most: Tensors looked at.
        elements: Elements up to which a matrix is read as a whole where an answer needs that.
        full: Whether everything is looked at.
    """

    side: int
    rank_side: int
    most: int
    elements: int
    full: bool


SAMPLE = Effort(side=48, rank_side=96, most=6, elements=1 << 18, full=False)
FULL = Effort(side=512, rank_side=512, most=1 << 30, elements=1 << 26, full=True)
