"""All that a plugin may import from diffai, besides the test kit ``diffai_core.testing``.

A plugin's own ``plugin.py`` imports this module and the standard library, nothing else. It declares, and that is all
that is needed at start-up: what only the working modules of a plugin use is imported when they ask for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from diffai_core.errors import DiffaiError, LoadError, PluginError, SeparateFilesError, UsageError
from diffai_core.hookspecs import hookimpl
from diffai_core.specs import API_VERSION, ComparatorSpec, LoaderSpec, Magic, Option, ReporterSpec

if TYPE_CHECKING:
    from diffai_core.accumulators import Block, Fold
    from diffai_core.artifact import Artifact, BlockTensor, FileTensor, TensorRef, block_length
    from diffai_core.comparison import Comparison
    from diffai_core.dtypes import DTYPE_NAMES, DType, decode, dtype, opaque_dtype
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
    from diffai_core.keys import KeyFilter, Tolerance, Tolerances
    from diffai_core.layout import PairLayout
    from diffai_core.pairing import PairResult, Relation, TensorPair
    from diffai_core.text import Text, read_text, split_bom

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

_WHEN_ASKED_FOR = {
    "accumulators": ("Block", "Fold"),
    "artifact": ("Artifact", "BlockTensor", "FileTensor", "TensorRef", "block_length"),
    "comparison": ("Comparison",),
    "dtypes": ("DTYPE_NAMES", "DType", "decode", "dtype", "opaque_dtype"),
    "files": ("DataFile", "Source"),
    "findings": ("ABSENT", "ArtifactSummary", "Counts", "Finding", "Identity", "NotCompared", "Report", "Verdict"),
    "keys": ("KeyFilter", "Tolerance", "Tolerances"),
    "layout": ("PairLayout",),
    "pairing": ("PairResult", "Relation", "TensorPair"),
    "text": ("Text", "read_text", "split_bom"),
}
_MODULES = {name: module for module, names in _WHEN_ASKED_FOR.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"diffai_core.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
