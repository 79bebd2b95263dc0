"""The mergeable one-pass statistics of a pair of tensors and their NumPy kernel.

Import this package only where tensors are read: it imports NumPy.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from diffai_core.accumulators.block import Block
from diffai_core.accumulators.centred import Centred
from diffai_core.accumulators.changes import Changes, ChangesFold
from diffai_core.accumulators.counts import CountsFold, SideCounts, ValueCounts
from diffai_core.accumulators.extrema import Extrema, ExtremaFold
from diffai_core.accumulators.fold import AnyFold, Fold, NumericFold
from diffai_core.accumulators.groups import GroupsFold, GroupSums, SideGroups
from diffai_core.accumulators.higher import Higher, HigherMoments, HigherMomentsFold
from diffai_core.accumulators.histograms import Histograms, HistogramsFold
from diffai_core.accumulators.keys16 import Histogram
from diffai_core.accumulators.lines import ColumnsFold, Lines, RowsFold
from diffai_core.accumulators.mantissa import MantissaFold, Mantissas, MantissaUse
from diffai_core.accumulators.moments import Moments, MomentsFold
from diffai_core.accumulators.norms import Norms, NormsFold
from diffai_core.accumulators.side import Side
from diffai_core.accumulators.sparsity import Sparsity, SparsityFold
from diffai_core.accumulators.ulp import Ulp, UlpFold
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
    "Centred",
    "Changes",
    "ChangesFold",
    "ColumnsFold",
    "CountsFold",
    "Extrema",
    "ExtremaFold",
    "Fold",
    "GroupSums",
    "GroupsFold",
    "Higher",
    "HigherMoments",
    "HigherMomentsFold",
    "Histogram",
    "Histograms",
    "HistogramsFold",
    "Lines",
    "MantissaFold",
    "MantissaUse",
    "Mantissas",
    "Moments",
    "MomentsFold",
    "Norms",
    "NormsFold",
    "NumericFold",
    "PairLayout",
    "RowsFold",
    "Side",
    "SideCounts",
    "SideGroups",
    "Sparsity",
    "SparsityFold",
    "Ulp",
    "UlpFold",
    "ValueCounts",
    "Workspace",
    "leaves",
]
