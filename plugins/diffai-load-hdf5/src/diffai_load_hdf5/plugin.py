"""Declares the loaders of HDF5 files and of Keras archives; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loader of HDF5 files, Keras' older models among them, and that of Keras archives."""
    yield LoaderSpec(
        name="hdf5",
        title="HDF5",
        target="diffai_load_hdf5.loader:open_file",
        suffixes=(".h5", ".hdf5", ".he5", ".hdf"),
        magic=tuple(Magic(_SIGNATURE, offset) for offset in (0, 512, 1024, 2048)),
    )
    yield LoaderSpec(
        name="keras",
        title="Keras archive (.keras)",
        target="diffai_load_hdf5.loader:open_keras",
        suffixes=(".keras",),
        sniff="diffai_load_hdf5.sniff:looks_like_keras",
    )
