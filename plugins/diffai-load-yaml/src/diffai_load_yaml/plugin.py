"""Declares the YAML loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loader of YAML files."""
    yield LoaderSpec(
        name="yaml",
        title="YAML",
        target="diffai_load_yaml.loader:open_yaml",
        suffixes=(".yaml", ".yml"),
        magic=(Magic(b"%YAML"),),
    )
