"""Saving with PyTorch in all its ways, and comparing with what PyTorch has."""

from __future__ import annotations

import warnings
import zipfile

import numpy as np
import torch
import torch.distributed.checkpoint


def raw(tensor):
    """Return the bytes of a tensor's elements in row-major order."""
    if not tensor.numel():
        return b""
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def blocks_of(ref, max_bytes):
    blocks = [block.copy() for block in ref.blocks(max_bytes)]
    assert all(block.ndim == 1 for block in blocks)
    return np.concatenate(blocks) if blocks else np.empty(0, ref.dtype.numpy)


def assert_same(ref, tensor):
    """Check a tensor against PyTorch's, read at once and in small blocks."""
    assert ref.shape == tuple(tensor.shape)
    assert ref.read().tobytes() == raw(tensor)
    assert blocks_of(ref, 100).tobytes() == raw(tensor)


def save_legacy(value, path, **options):
    """Save in the format before zip."""
    torch.save(value, path, _use_new_zipfile_serialization=False, **options)


def zipped_again(path, method=zipfile.ZIP_DEFLATED, change=None):
    """Write the members of a zip file anew; ``change(name, data)`` may give other data, or ``None`` to leave it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            changed = change(name, data) if change else data
            if changed is not None:
                archive.writestr(name, changed)


def save_distributed(value, path):
    """Save as a distributed checkpoint of one process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is one process
        torch.distributed.checkpoint.save(value, checkpoint_id=path, no_dist=True)
