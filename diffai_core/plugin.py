"""All that a plugin may import from diffai, besides the test kit ``diffai_core.testing``.

A plugin's own ``plugin.py`` imports this module and the standard library, nothing else. It declares, and that is all
that is needed at start-up: what only the working modules of a plugin use is imported when they ask for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from diffai_core.errors import DiffaiError, LoadError, PluginError, SeparateFilesError, UsageError
from diffai_core.hookspecs import hookimpl
from diffai_core.specs import (
    API_VERSION,
    ComparatorSpec,
    KernelSpec,
    LoaderSpec,
    Magic,
    Option,
    ReadingWay,
    ReporterSpec,
)

if TYPE_CHECKING:
    from diffai_core.accumulators import (
        ACCUMULATORS,
        Block,
        BytePlanesState,
        Centred,
        Changes,
        ExtremaState,
        Fold,
        GroupSums,
        Higher,
        HigherMoments,
        HistogramsState,
        KeyCounts,
        LinesState,
        LineSums,
        Mantissas,
        MantissaUse,
        Moments,
        NormsState,
        Scaled,
        SideCounts,
        SideGroups,
        Sparsity,
        UlpState,
        ValueCounts,
    )
    from diffai_core.accumulators.counts import smallest_normal
    from diffai_core.accumulators.mantissa import mantissa_bits
    from diffai_core.accumulators.numbers import float_table
    from diffai_core.artifact import (
        Artifact,
        BlockTensor,
        FileTensor,
        Foreign,
        Quantization,
        Role,
        TensorRef,
        block_length,
        regroup,
    )
    from diffai_core.comparison import Comparison
    from diffai_core.descriptors import Descriptor
    from diffai_core.dtypes import DTYPE_NAMES, DType, decode, dtype, opaque_dtype
    from diffai_core.files import DataFile, Source
    from diffai_core.findings import (
        ABSENT,
        GATE,
        ArtifactSummary,
        Counts,
        Finding,
        Identity,
        NotCompared,
        Report,
        Verdict,
    )
    from diffai_core.graph import Graph, Node, Value
    from diffai_core.kernels import Kernel, KernelWorker
    from diffai_core.keys import KeyFilter, Tolerance, Tolerances
    from diffai_core.layout import LEAF, Leaf, PairLayout
    from diffai_core.pairing import PairResult, Relation, TensorPair
    from diffai_core.permuted import PermutedTensor
    from diffai_core.text import Text, read_text, split_bom
    from diffai_core.wording import shown

__all__ = [
    "ABSENT",
    "ACCUMULATORS",
    "API_VERSION",
    "DTYPE_NAMES",
    "GATE",
    "LEAF",
    "Artifact",
    "ArtifactSummary",
    "Block",
    "BlockTensor",
    "BytePlanesState",
    "Centred",
    "Changes",
    "ComparatorSpec",
    "Comparison",
    "Counts",
    "DType",
    "DataFile",
    "Descriptor",
    "DiffaiError",
    "ExtremaState",
    "FileTensor",
    "Finding",
    "Fold",
    "Foreign",
    "Graph",
    "GroupSums",
    "Higher",
    "HigherMoments",
    "HistogramsState",
    "Identity",
    "Kernel",
    "KernelSpec",
    "KernelWorker",
    "KeyCounts",
    "KeyFilter",
    "Leaf",
    "LineSums",
    "LinesState",
    "LoadError",
    "LoaderSpec",
    "Magic",
    "MantissaUse",
    "Mantissas",
    "Moments",
    "Node",
    "NormsState",
    "NotCompared",
    "Option",
    "PairLayout",
    "PairResult",
    "PermutedTensor",
    "PluginError",
    "Quantization",
    "ReadingWay",
    "Relation",
    "Report",
    "ReporterSpec",
    "Role",
    "Scaled",
    "SeparateFilesError",
    "SideCounts",
    "SideGroups",
    "Source",
    "Sparsity",
    "TensorPair",
    "TensorRef",
    "Text",
    "Tolerance",
    "Tolerances",
    "UlpState",
    "UsageError",
    "Value",
    "ValueCounts",
    "Verdict",
    "block_length",
    "decode",
    "dtype",
    "float_table",
    "hookimpl",
    "mantissa_bits",
    "opaque_dtype",
    "read_text",
    "regroup",
    "shown",
    "smallest_normal",
    "split_bom",
]

_WHEN_ASKED_FOR = {
    "accumulators": (
        *(
            "ACCUMULATORS",
            "Block",
            "BytePlanesState",
            "Centred",
            "Changes",
            "ExtremaState",
            "Fold",
            "GroupSums",
            "Higher",
        ),
        *("HigherMoments", "HistogramsState", "KeyCounts", "LineSums", "LinesState", "MantissaUse", "Mantissas"),
        *("Moments", "NormsState", "Scaled", "SideCounts", "SideGroups", "Sparsity", "UlpState", "ValueCounts"),
    ),
    "accumulators.counts": ("smallest_normal",),
    "accumulators.mantissa": ("mantissa_bits",),
    "accumulators.numbers": ("float_table",),
    "artifact": (
        "Artifact",
        "BlockTensor",
        "FileTensor",
        "Foreign",
        "Quantization",
        "Role",
        "TensorRef",
        *("block_length", "regroup"),
    ),
    "comparison": ("Comparison",),
    "dtypes": ("DTYPE_NAMES", "DType", "decode", "dtype", "opaque_dtype"),
    "descriptors": ("Descriptor",),
    "files": ("DataFile", "Source"),
    "findings": (
        "ABSENT",
        "GATE",
        "ArtifactSummary",
        "Counts",
        "Finding",
        "Identity",
        "NotCompared",
        "Report",
        "Verdict",
    ),
    "graph": ("Graph", "Node", "Value"),
    "kernels": ("Kernel", "KernelWorker"),
    "keys": ("KeyFilter", "Tolerance", "Tolerances"),
    "layout": ("LEAF", "Leaf", "PairLayout"),
    "pairing": ("PairResult", "Relation", "TensorPair"),
    "permuted": ("PermutedTensor",),
    "wording": ("shown",),
    "text": ("Text", "read_text", "split_bom"),
}
_MODULES = {name: module for module, names in _WHEN_ASKED_FOR.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"diffai_core.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
