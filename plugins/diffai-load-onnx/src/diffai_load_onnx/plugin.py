"""Declares the ONNX loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Option, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loader of ONNX models."""
    yield LoaderSpec(
        name="onnx",
        title="ONNX model",
        target="diffai_load_onnx.loader:open_onnx",
        suffixes=(".onnx",),
        sniff="diffai_load_onnx.sniff:looks_like_onnx",
        options=(
            Option(
                "onnx-check",
                "Let the onnx package check each ONNX model first: operators, attributes, types and shapes.",
            ),
        ),
    )
