"""Declares the PyTorch loader; the work is in ``loader.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, Magic, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""The number with which the format before zip begins, as pickled."""

_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pth.tar", ".pt.tar", ".pt2", ".ptl", ".jit", ".torchscript")


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield the loader of PyTorch files and folders."""
    yield LoaderSpec(
        name="pytorch",
        title="PyTorch",
        target="diffai_load_pytorch.loader:open_pytorch",
        suffixes=(*_SUFFIXES, ".bin.index.json"),
        magic=(Magic(_LEGACY, 2), Magic(_LEGACY, 11)),
        sniff="diffai_load_pytorch.sniff:looks_like_pytorch",
        folders=(
            "*.distcp",
            "*.bin.index.json",
            "pytorch_model*.bin",
            "diffusion_pytorch_model*.bin",
            "adapter_model.bin",
        ),
        folder_rank=1,  # next to safetensors it is what was there before
    )
