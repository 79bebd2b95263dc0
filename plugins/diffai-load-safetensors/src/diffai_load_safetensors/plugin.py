"""Declares the safetensors loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the safetensors loader."""
    yield LoaderSpec(
        name="safetensors",
        title="safetensors",
        target="diffai_load_safetensors.loader:open_safetensors",
        suffixes=(".safetensors", ".safetensors.index.json"),
        sniff="diffai_load_safetensors.sniff:looks_like_safetensors",
        folders=("*.safetensors.index.json", "*.safetensors"),
        folder_rank=2,  # what transformers and diffusers load where the same weights are there in other formats
    )
