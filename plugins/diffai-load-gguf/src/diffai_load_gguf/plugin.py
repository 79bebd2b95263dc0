"""Declares the GGUF loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the GGUF loader; it knows what came before GGUF by sight, to say what to do with it."""
    yield LoaderSpec(
        name="gguf",
        title="GGUF",
        target="diffai_load_gguf.loader:open_gguf",
        suffixes=(".gguf",),
        magic=(Magic(b"GGUF"), Magic(b"lmgg"), Magic(b"fmgg"), Magic(b"tjgg"), Magic(b"algg")),
        folders=("*.gguf",),
        folder_rank=-1,  # next to the weights of another format it is a conversion of them
    )
