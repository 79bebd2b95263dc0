"""Declares the OpenVINO loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the OpenVINO loader."""
    yield LoaderSpec(
        name="openvino",
        title="OpenVINO IR",
        target="diffai_load_openvino.loader:open_openvino",
        suffixes=(".xml",),
        sniff="diffai_load_openvino.sniff:looks_like_openvino",
        folders=("openvino_model.xml",),
    )
