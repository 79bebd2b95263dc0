"""The mergeable one-pass statistics of a pair of tensors and their NumPy kernel.

Import this package only where tensors are read: it imports NumPy.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from diffai_core.accumulators.block import Block
from diffai_core.accumulators.centred import Centred
from diffai_core.accumulators.changes import Changes, ChangesFold
from diffai_core.accumulators.extrema import Extrema, ExtremaFold
from diffai_core.accumulators.fold import AnyFold, Fold, NumericFold
from diffai_core.accumulators.layout import LEAF, SEGMENT_LEAVES, PairLayout, leaves
from diffai_core.accumulators.moments import Moments, MomentsFold
from diffai_core.accumulators.side import Side
from diffai_core.accumulators.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCUMULATORS: Mapping[str, AnyFold] = MappingProxyType(
    {
        "changes": ChangesFold(),
        "moments": MomentsFold(),
        "extrema": ExtremaFold(),
    }
)
"""The statistics that a comparator can ask for by name."""

__all__ = [
    "ACCUMULATORS",
    "LEAF",
    "SEGMENT_LEAVES",
    "Block",
    "Centred",
    "Changes",
    "ChangesFold",
    "Extrema",
    "ExtremaFold",
    "Fold",
    "Moments",
    "MomentsFold",
    "NumericFold",
    "PairLayout",
    "Side",
    "Workspace",
    "leaves",
]
