"""Declares the TensorFlow Lite loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the TensorFlow Lite loader."""
    yield LoaderSpec(
        name="tflite",
        title="TensorFlow Lite",
        target="diffai_load_tflite.loader:open_tflite",
        suffixes=(".tflite", ".lite", ".litert"),
        magic=(Magic(b"TFL3", 4),),
    )
