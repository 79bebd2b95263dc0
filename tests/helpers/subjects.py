"""The loaders to fuzz: each conformance test of a loader says how a small file of its format is written."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from repository import ROOT, distributions, plugins

from diffai_core.testing import LoaderTests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType


PLANTED = "planted"
"""Name of the loaders with known faults, with which the fuzzer itself is tested."""


class Subject(NamedTuple):
    """A loader under test.

    Args:
        name: ``PLUGIN:TEST_CLASS``, as on the command line.
        package: The plugin's package.
        test: The conformance test, which opens and writes files of the format.
    """

    name: str
    package: str
    test: LoaderTests


def subjects(package: str = "") -> Iterator[Subject]:
    """Yield every conformance test of one plugin with loaders, or of all; the planted ones only by name."""
    if package == PLANTED:
        yield from _tests_in(ROOT / "tests/fuzz/planted.py", PLANTED, PLANTED)
    for plugin in plugins():
        file = plugin.folder / "tests/test_conformance.py"
        if not plugin.name.startswith("diffai-load-") or package not in {"", plugin.package} or not file.is_file():
            continue
        yield from _tests_in(file, plugin.name, plugin.package)


def _tests_in(file: Path, plugin: str, package: str) -> Iterator[Subject]:
    for name, value in vars(_imported(file, package)).items():
        if isinstance(value, type) and issubclass(value, LoaderTests) and name.startswith("Test"):
            yield Subject(f"{plugin}:{name}", package, value())


def _imported(file: Path, package: str) -> ModuleType:
    """Import a test module as pytest does, with the modules beside it at hand."""
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(f"{package}_conformance", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
        for name in sys.modules.keys() - before:
            if _lies_in(sys.modules[name], file.parent):
                del sys.modules[name]  # the next plugin has a conftest of its own
    return module


def _lies_in(module: Any, folder: Path) -> bool:
    place = getattr(module, "__file__", None)
    return isinstance(place, str) and place.startswith(f"{folder}/")


def libraries_of(package: str) -> list[str]:
    """Return the packages whose code reads the format: the plugin and the libraries of this repository it uses."""
    if package == PLANTED:
        return [PLANTED]
    by_package = {one.package: one for one in distributions()}
    found = [package]
    for name in found:
        found += [need for need in sorted(by_package[name].requirements & by_package.keys()) if need not in found]
    return found
