"""The plugins of a checkout, read from their folders, whether or not they are installed."""

from __future__ import annotations

import sys
import tomllib
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.discovery import FoundPlugin, load_object
from diffai_core.errors import PluginError, UsageError
from diffai_core.registry import Registry, build_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Member(NamedTuple):
    """A distribution under ``plugins/``.

    Args:
        folder: Its folder.
        name: Name of the distribution.
        version: Its version.
        description: What it is, as its metadata say.
        entry_points: Modules by the name of the entry point.
    """

    folder: Path
    name: str
    version: str
    description: str
    entry_points: dict[str, str]


def checkout_root() -> Path:
    """Return the folder of the checkout in or above the working directory.

    Raises:
        UsageError: If the working directory is in no checkout.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "plugins/hatch_extras.py").is_file():
            return folder
    raise UsageError(f"{here} is in no checkout of diffai; change into one")


def members(root: Path) -> list[Member]:
    """Return the plugins of the checkout, sorted by name."""
    found = []
    for file in sorted(root.glob("plugins/*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        points = project.get("entry-points", {}).get("diffai", {})
        found.append(Member(file.parent, project["name"], project["version"], project["description"], points))
    return found


def registry_of(plugins: Sequence[Member]) -> Registry:
    """Load the declarations of all plugins from their folders.

    Raises:
        PluginError: If one of them is not as the contract demands.
    """
    points = sorted((name, value, member) for member in plugins for name, value in member.entry_points.items())
    found = [
        FoundPlugin(name, member.name, member.version, partial(load_object, value), value.partition(".")[0])
        for name, value, member in points
    ]
    with _importable(plugins):
        registry = build_registry(found)
    if registry.broken:
        raise PluginError("; ".join(map(str, registry.broken)))
    return registry


@contextmanager
def _importable(plugins: Sequence[Member]) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(member.folder / "src") for member in plugins]
    try:
        yield
    finally:
        sys.path[:] = before
