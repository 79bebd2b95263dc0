"""Loaders for tests; their code stands in a module ``fake_loaders`` that exists for one test."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from diffai_core.discovery import FoundPlugin
from diffai_core.files import DataFile, Source
from diffai_core.plugin import Artifact, LoaderSpec, hookimpl
from diffai_core.registry import Registry, build_registry

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def code(monkeypatch):
    """The module to which targets of the form ``fake_loaders:name`` point."""
    module = types.ModuleType("fake_loaders")
    module.open_any = open_any
    monkeypatch.setitem(sys.modules, "fake_loaders", module)
    return module


def open_any(source: Source, options: Mapping[str, Any]) -> Artifact:
    """Open a file, or a directory by its first file; the options are the tree."""
    path = next(path for path in sorted(source.path.iterdir()) if path.is_file()) if source.is_folder else source.path
    return Artifact(name=source.name, format="any", tree=dict(options), files=(DataFile(path),))


def loader(name: str, **fields: Any) -> LoaderSpec:
    """A format with everything that is not given filled in."""
    return LoaderSpec(**{"name": name, "title": name, "target": "fake_loaders:open_any", **fields})


@pytest.fixture
def registry_of(code):
    """Make a registry in which each given loader comes from a distribution of its own, or from the one given."""

    def make(*specs: LoaderSpec, **dists: str) -> Registry:
        registry = build_registry([_plugin(spec, dists.get(spec.name, f"acme-{spec.name}")) for spec in specs])
        assert registry.broken == ()
        return registry

    return make


def _plugin(spec: LoaderSpec, dist: str) -> FoundPlugin:
    class Plugin:
        @hookimpl
        def diffai_loaders(self):
            yield spec

    return FoundPlugin(f"load-{spec.name}", dist, "1.0", Plugin)


@pytest.fixture(name="loader")
def loader_fixture():
    """Make a loader spec."""
    return loader


@pytest.fixture
def file(tmp_path):
    """Write a file and return it as a source that messages call by its bare name."""

    def make(name: str, content: bytes = b"?") -> Source:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Source(path, name)

    return make
