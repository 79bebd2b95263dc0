"""Declares the NumPy loaders; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loaders of single arrays and of archives of arrays."""
    yield LoaderSpec(
        name="npy",
        title="NumPy array (.npy)",
        target="diffai_load_numpy.loader:open_npy",
        suffixes=(".npy",),
        magic=(Magic(b"\x93NUMPY"),),
    )
    yield LoaderSpec(
        name="npz",
        title="NumPy archive (.npz)",
        target="diffai_load_numpy.loader:open_npz",
        suffixes=(".npz",),
        sniff="diffai_load_numpy.sniff:looks_like_npz",
    )
