"""Declares the JSON loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loader of JSON files."""
    yield LoaderSpec(
        name="json",
        title="JSON",
        target="diffai_load_json.loader:open_json",
        suffixes=(".json",),
        sniff="diffai_load_json.sniff:looks_like_json",
    )
