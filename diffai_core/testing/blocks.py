"""The promise of :meth:`diffai_core.plugin.TensorRef.blocks`, checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.testing.arrays import differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.artifact import TensorRef


def block_complaint(ref: TensorRef, wanted: NDArray[Any], max_bytes: int) -> str:
    """Say how ``ref.blocks(max_bytes)`` breaks its promise; empty if it keeps it."""
    copies = []
    lengths = []
    for block in ref.blocks(max_bytes):
        if block.ndim != 1:
            return f"a block has {block.ndim} dimensions instead of 1"
        if not block.size:
            return "a block is empty"
        copies.append(block.copy())
        lengths.append(block.size)
    found = np.concatenate(copies) if copies else np.empty(0, ref.dtype.numpy)
    return _length_complaint(ref, lengths, max_bytes) or differences(wanted.reshape(-1), found)


def _length_complaint(ref: TensorRef, lengths: list[int], max_bytes: int) -> str:
    bits = ref.dtype.bits
    group = ref.dtype.packed_group
    row = math.prod(ref.shape[1:]) or 1
    for length in lengths[:-1]:
        if length % group:
            return f"a block of {length} elements of {ref.dtype} does not fill whole bytes"
        if row * bits <= max_bytes * 8 and row % group == 0 and length % row:
            return f"a block of {length} elements cuts a row of {row}, which fits"
    for length in lengths:
        if length > group and length * bits > max_bytes * 8:
            return f"a block of {length} elements of {ref.dtype} is larger than {max_bytes} bytes"
    return ""
