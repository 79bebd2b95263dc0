"""Declares the loader of MATLAB files; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loader."""
    yield LoaderSpec(
        name="matlab",
        title="MATLAB",
        target="diffai_load_matlab.loader:open_mat",
        suffixes=(".mat",),
        magic=(Magic(b"MATLAB 5.0 MAT-file"), Magic(b"MATLAB 7.3 MAT-file")),
        sniff="diffai_load_matlab.sniff:looks_like_mat",
    )
