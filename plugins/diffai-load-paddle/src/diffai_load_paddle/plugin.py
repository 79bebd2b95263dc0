"""Declares the PaddlePaddle loaders; the work is in ``loader.py`` and ``state.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loaders of inference models and of what ``paddle.save`` writes."""
    yield LoaderSpec(
        name="paddle",
        title="PaddlePaddle model",
        target="diffai_load_paddle.loader:open_paddle",
        suffixes=(".pdmodel", ".pdiparams"),
        sniff="diffai_load_paddle.sniff:looks_like_paddle",
        folders=("*.pdiparams", "*.pdmodel"),
        dialect_of="json",  # PaddlePaddle 3 writes programs in it
    )
    yield LoaderSpec(
        name="paddle-state",
        title="PaddlePaddle checkpoint",
        target="diffai_load_paddle.state:open_state",
        suffixes=(".pdparams", ".pdopt", ".pdtensor"),
        sniff="diffai_load_paddle.sniff:looks_like_state",
        dialect_of="pickle",
    )
