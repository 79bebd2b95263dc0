"""Every plugin folder is an extra of the root distribution, and ``all`` is all that users want."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

TESTING = ["pytest>=8", "hypothesis>=6.100"]
"""What the test kit for plugin authors needs besides the core."""


class PluginExtras(MetadataHookInterface):
    """Compute ``optional-dependencies`` from ``plugins/*/pyproject.toml``.

    From a checkout an extra points to the folders beside this file; with ``DIFFAI_RELEASE`` set in the environment
    (when a release is built) it names the published versions instead. An extra brings the plugins of this
    repository that its plugin depends on, because no index has them for a checkout.
    """

    def update(self, metadata: dict[str, object]) -> None:
        """Write the extras into ``metadata``."""
        projects = read_projects(Path(self.root, "plugins"))
        release = bool(os.environ.get("DIFFAI_RELEASE"))
        extras = {
            name.removeprefix("diffai-"): [requirement(projects[part], release) for part in closure(name, projects)]
            for name in projects
        }
        extras["all"] = [
            requirement(project, release) for name, project in projects.items() if not name.endswith("-example")
        ]
        metadata["optional-dependencies"] = {**extras, "testing": TESTING}


def read_projects(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the project table of every plugin by name, with the place of its folder as ``uri``."""
    files = sorted(folder.glob("*/pyproject.toml"))
    tables = [(file, tomllib.loads(file.read_text(encoding="utf-8"))["project"]) for file in files]
    return {table["name"]: {**table, "uri": file.parent.as_uri()} for file, table in tables}


def closure(name: str, projects: dict[str, dict[str, Any]]) -> list[str]:
    """Return ``name`` and every plugin of this repository that it needs, sorted."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        part = waiting.pop()
        if part in projects and part not in found:
            found.add(part)
            waiting += [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in projects[part]["dependencies"]]
    return sorted(found)


def requirement(project: dict[str, Any], release: bool) -> str:
    """Return what pip installs for one plugin."""
    return f"{project['name']}=={project['version']}" if release else f"{project['name']} @ {project['uri']}"
