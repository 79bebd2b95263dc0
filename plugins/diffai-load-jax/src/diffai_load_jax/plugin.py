"""Declares the loaders of Flax files and of Orbax and zarr folders; the work is in other modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loaders."""
    yield LoaderSpec(
        name="flax",
        title="Flax msgpack",
        target="diffai_load_jax.flax:open_flax",
        suffixes=(".msgpack",),
        sniff="diffai_load_jax.sniff:looks_like_flax",
    )
    yield LoaderSpec(
        name="orbax",
        title="Orbax checkpoint",
        target="diffai_load_jax.orbax:open_orbax",
        folders=("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt"),
    )
    yield LoaderSpec(
        name="zarr",
        title="zarr",
        target="diffai_load_jax.orbax:open_zarr",
        folders=(".zarray", ".zgroup", "zarr.json"),
    )
