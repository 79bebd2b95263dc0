"""The mergeable one-pass statistics of a pair of tensors and their NumPy kernel.

Import this package only where tensors are read: it imports NumPy.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from diffai_core.accumulators.block import Block
from diffai_core.accumulators.byte_planes import BytePlanes, BytePlanesFold, BytePlanesState
from diffai_core.accumulators.centred import Centred
from diffai_core.accumulators.changes import Changes, ChangesFold
from diffai_core.accumulators.counts import CountsFold, SideCounts, ValueCounts
from diffai_core.accumulators.extrema import Extrema, ExtremaFold, ExtremaState
from diffai_core.accumulators.fold import AnyFold, Fold, NumericFold
from diffai_core.accumulators.groups import GroupsFold, GroupSums, SideGroups
from diffai_core.accumulators.higher import Higher, HigherMoments, HigherMomentsFold
from diffai_core.accumulators.histograms import Histograms, HistogramsFold, HistogramsState
from diffai_core.accumulators.keys16 import Histogram, KeyCounts
from diffai_core.accumulators.lines import ColumnsFold, Lines, LinesState, LineSums, RowsFold
from diffai_core.accumulators.mantissa import MantissaFold, Mantissas, MantissaUse
from diffai_core.accumulators.moments import Moments, MomentsFold
from diffai_core.accumulators.norms import Norms, NormsFold, NormsState, Scaled
from diffai_core.accumulators.side import Side
from diffai_core.accumulators.sparsity import Sparsity, SparsityFold
from diffai_core.accumulators.ulp import Ulp, UlpFold, UlpState
from diffai_core.accumulators.workspace import Workspace
from diffai_core.layout import LEAF, SEGMENT_LEAVES, PairLayout, leaves

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCUMULATORS: Mapping[str, AnyFold] = MappingProxyType(
    {
        "counts": CountsFold(),
        "moments": MomentsFold(),
        "higher_moments": HigherMomentsFold(),
        "norms": NormsFold(),
        "extrema": ExtremaFold(),
        "histograms": HistogramsFold(),
        "changes": ChangesFold(),
        "mantissa": MantissaFold(),
        "ulp": UlpFold(),
        "byte_planes": BytePlanesFold(),
        "rows": RowsFold(),
        "columns": ColumnsFold(),
        "groups": GroupsFold(),
        "sparsity": SparsityFold(),
    }
)
"""The statistics that a comparator can ask for by name."""

__all__ = [
    "ACCUMULATORS",
    "LEAF",
    "SEGMENT_LEAVES",
    "AnyFold",
    "Block",
    "BytePlanes",
    "BytePlanesFold",
    "BytePlanesState",
    "Centred",
    "Changes",
    "ChangesFold",
    "ColumnsFold",
    "CountsFold",
    "Extrema",
    "ExtremaFold",
    "ExtremaState",
    "Fold",
    "GroupSums",
    "GroupsFold",
    "Higher",
    "HigherMoments",
    "HigherMomentsFold",
    "Histogram",
    "Histograms",
    "HistogramsFold",
    "HistogramsState",
    "KeyCounts",
    "LineSums",
    "Lines",
    "LinesState",
    "MantissaFold",
    "MantissaUse",
    "Mantissas",
    "Moments",
    "MomentsFold",
    "Norms",
    "NormsFold",
    "NormsState",
    "NumericFold",
    "PairLayout",
    "RowsFold",
    "Scaled",
    "Side",
    "SideCounts",
    "SideGroups",
    "Sparsity",
    "SparsityFold",
    "Ulp",
    "UlpFold",
    "UlpState",
    "ValueCounts",
    "Workspace",
    "leaves",
]
