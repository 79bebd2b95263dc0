"""Declares the Core ML loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the Core ML loader."""
    yield LoaderSpec(
        name="coreml",
        title="Core ML",
        target="diffai_load_coreml.loader:open_coreml",
        suffixes=(".mlmodel",),
        sniff="diffai_load_coreml.sniff:looks_like_coreml",
        folders=("Data/com.apple.CoreML/*.mlmodel",),
    )
