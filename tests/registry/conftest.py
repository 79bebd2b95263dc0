"""Plugins for tests: in memory, and as real distributions on disk."""

from __future__ import annotations

import types
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from diffai_core.discovery import FoundPlugin
from diffai_core.plugin import hookimpl

if TYPE_CHECKING:
    from pathlib import Path


def plugin_module(**attributes: Any) -> types.ModuleType:
    """A module whose ``diffai_…`` attributes are hooks: a list is what the hook yields, a function is used as it is."""
    module = types.ModuleType("fake_plugin")
    for name, value in attributes.items():
        setattr(module, name, _hook(name, value) if isinstance(value, list) else value)
    return module


def _hook(name: str, records: list[Any]) -> Any:
    def hook():
        yield from records

    hook.__name__ = name
    return hookimpl(hook)


@pytest.fixture
def found():
    """Make a ``FoundPlugin`` in memory: ``found("load-a", diffai_loaders=[LoaderSpec(…)])``."""

    def make(name: str, dist: str | None = None, version: str = "1.0", **attributes: Any) -> FoundPlugin:
        module = plugin_module(**attributes)
        return FoundPlugin(name, dist or f"acme-{name}", version, lambda: module, "fake_plugin")

    return make


@pytest.fixture
def failing():
    """Make a ``FoundPlugin`` whose import raises ``error``."""

    def make(error: BaseException, name: str = "load-bad", package: str = "acme_bad") -> FoundPlugin:
        def load() -> Any:
            raise error

        return FoundPlugin(name, "acme-bad", "2.0", load, package)

    return make


@pytest.fixture
def install(tmp_path: Path):
    """Write a distribution as an installer would: ``install("acme-a", "load-a", "from … import …")``."""
    site = tmp_path / "site"
    site.mkdir()

    def write(dist: str, plugin: str, source: str, version: str = "1.0", folder: Path = site) -> Path:
        package = dist.replace("-", "_")
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text("")
        (folder / package / "plugin.py").write_text(dedent(source))
        metadata = folder / f"{package}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n\nName: not-this\n"
        )
        (metadata / "entry_points.txt").write_text(
            f"[console_scripts]\n{dist} = os:getcwd\n\n[diffai]\n# a comment\n{plugin} = {package}.plugin\n"
        )
        return folder

    return write
