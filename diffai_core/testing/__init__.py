"""The test kit for plugin authors: base classes that hold a plugin to the laws of its kind.

A whole test of a loader:

    class TestAcme(LoaderTests):
        plugin = acme_diffai.plugin
        dtypes = ("float32",)

        def write(self, path, arrays):
            acme.save(path, arrays)

The names are imported when they are used, so that the pytest plugin of this package costs nothing.
Needs pytest and Hypothesis: ``pip install 'diffai[testing]'``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffai_core.testing.arrays import array_dicts as array_dicts
    from diffai_core.testing.arrays import sample_array as sample_array
    from diffai_core.testing.builders import artifact as artifact
    from diffai_core.testing.builders import finding_lists as finding_lists
    from diffai_core.testing.builders import report as report
    from diffai_core.testing.builders import tensor as tensor
    from diffai_core.testing.comparator import ComparatorTests as ComparatorTests
    from diffai_core.testing.kernel import KernelTests as KernelTests
    from diffai_core.testing.loader import LoaderTests as LoaderTests
    from diffai_core.testing.plugin_module import PluginTests as PluginTests
    from diffai_core.testing.reporter import ReporterTests as ReporterTests

_HOME = {
    "ComparatorTests": "comparator",
    "KernelTests": "kernel",
    "LoaderTests": "loader",
    "PluginTests": "plugin_module",
    "ReporterTests": "reporter",
    "array_dicts": "arrays",
    "artifact": "builders",
    "finding_lists": "builders",
    "report": "builders",
    "sample_array": "arrays",
    "tensor": "builders",
}
__all__ = [
    "ComparatorTests",
    "KernelTests",
    "LoaderTests",
    "PluginTests",
    "ReporterTests",
    "array_dicts",
    "artifact",
    "finding_lists",
    "report",
    "sample_array",
    "tensor",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
