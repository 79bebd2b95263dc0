"""Declares the TensorFlow loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the TensorFlow loader."""
    yield LoaderSpec(
        name="tensorflow",
        title="TensorFlow checkpoint, SavedModel or graph",
        target="diffai_load_tensorflow.loader:open_tensorflow",
        suffixes=(".index", ".pb", ".meta", ".data-00000-of-00001"),
        sniff="diffai_load_tensorflow.sniff:looks_like_tensorflow",
        folders=("saved_model.pb", "*.index"),
    )
