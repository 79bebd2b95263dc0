"""Writes installed distributions with a plugin of any content, for a folder on ``PYTHONPATH``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def install(folder: Path, name: str, plugin: str, work: str = "") -> None:
    """Write a distribution ``acme-NAME`` 1.2 with the entry point ``NAME`` into ``folder``."""
    module = f"acme_{name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(plugin.replace("{module}", module))
    (folder / f"{module}_work.py").write_text(work)
    info = folder / f"{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[diffai]\n{name} = {module}\n")
