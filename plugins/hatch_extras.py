"""Every plugin folder is an extra of the root distribution, ``all`` is all of them, ``testing`` is for authors."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

TESTING = ("hypothesis>=6.100", "pytest>=8")
"""What the kit for plugin authors, ``diffai_core.testing``, needs."""


class PluginExtras(MetadataHookInterface):
    """Compute ``optional-dependencies`` from ``plugins/*/pyproject.toml``.

    From a checkout an extra points to the folder beside this file; with ``DIFFAI_RELEASE`` set in the environment
    (when a release is built) it names the published version instead.
    """

    def update(self, metadata: dict[str, object]) -> None:
        """Write the extras into ``metadata``."""
        release = bool(os.environ.get("DIFFAI_RELEASE"))
        extras: dict[str, list[str]] = {}
        for file in sorted(Path(self.root, "plugins").glob("*/pyproject.toml")):
            project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
            name = project["name"]
            requirement = f"{name}=={project['version']}" if release else f"{name} @ {file.parent.as_uri()}"
            extras[name.removeprefix("diffai-")] = [requirement]
        extras["all"] = [requirement for requirements in extras.values() for requirement in requirements]
        metadata["optional-dependencies"] = extras | {"testing": list(TESTING)}
