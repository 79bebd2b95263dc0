"""All that a plugin may import from diffai, besides the test kit ``diffai_core.testing``.

A plugin's own ``plugin.py`` imports this module and the standard library, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_core.artifact import Artifact, BlockTensor, FileTensor, TensorRef, block_length
from diffai_core.comparison import Comparison
from diffai_core.dtypes import DTYPE_NAMES, DType, decode, dtype, opaque_dtype
from diffai_core.errors import DiffaiError, LoadError, PluginError, SeparateFilesError, UsageError
from diffai_core.files import DataFile, Source
from diffai_core.findings import (
    ABSENT,
    ArtifactSummary,
    Counts,
    Finding,
    Identity,
    NotCompared,
    Report,
    Verdict,
)
from diffai_core.hookspecs import hookimpl
from diffai_core.keys import KeyFilter, Tolerance, Tolerances
from diffai_core.layout import PairLayout
from diffai_core.pairing import PairResult, Relation, TensorPair
from diffai_core.specs import API_VERSION, ComparatorSpec, LoaderSpec, Magic, Option, ReporterSpec
from diffai_core.text import Text, read_text, split_bom

if TYPE_CHECKING:
    from diffai_core.accumulators import Block, Fold

__all__ = [
    "ABSENT",
    "API_VERSION",
    "DTYPE_NAMES",
    "Artifact",
    "ArtifactSummary",
    "Block",
    "BlockTensor",
    "ComparatorSpec",
    "Comparison",
    "Counts",
    "DType",
    "DataFile",
    "DiffaiError",
    "FileTensor",
    "Finding",
    "Fold",
    "Identity",
    "KeyFilter",
    "LoadError",
    "LoaderSpec",
    "Magic",
    "NotCompared",
    "Option",
    "PairLayout",
    "PairResult",
    "PluginError",
    "Relation",
    "Report",
    "ReporterSpec",
    "SeparateFilesError",
    "Source",
    "TensorPair",
    "TensorRef",
    "Text",
    "Tolerance",
    "Tolerances",
    "UsageError",
    "Verdict",
    "block_length",
    "decode",
    "dtype",
    "hookimpl",
    "opaque_dtype",
    "read_text",
    "split_bom",
]


def __getattr__(name: str) -> Any:
    if name in {"Block", "Fold"}:  # lazily: they import NumPy, which a plugin.py must not
        import diffai_core.accumulators

        return getattr(diffai_core.accumulators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
