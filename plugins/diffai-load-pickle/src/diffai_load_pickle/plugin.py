"""Declares the loaders of pickles; the work is in the modules they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loaders of pickles and of skops archives."""
    yield LoaderSpec(
        name="pickle",
        title="pickle or joblib",
        target="diffai_load_pickle.loader:open_pickle",
        suffixes=(
            *(".pkl", ".pickle", ".joblib", ".cloudpickle"),
            *(f"{name}.{packed}" for name in (".pkl", ".pickle", ".joblib") for packed in ("gz", "z", "bz2", "xz")),
            *(f"{name}.{packed}" for name in (".pkl", ".pickle", ".joblib") for packed in ("lzma", "lz4")),
        ),
        sniff="diffai_load_pickle.sniff:looks_like_pickle",
    )
    yield LoaderSpec(
        name="skops",
        title="skops",
        target="diffai_load_pickle.skops:open_skops",
        suffixes=(".skops",),
        sniff="diffai_load_pickle.sniff:looks_like_skops",
        dialect_of="npz",
    )
