"""Turns stored bytes into elements, piece by piece. NumPy is imported when values are needed, ``gguf`` later still."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import block_length, dtype, regroup
from diffai_load_gguf.types import BLOCK_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, DType

_PIECE_ELEMENTS = 1 << 16
"""Elements that are dequantised at a time: the steps in between then stay in the cache."""
_Q8_K, _Q1_0, _Q2_0 = 15, 41, 42
"""Types that the ``gguf`` package cannot dequantise; the formulas are those of ggml's ``ggml-quants.c``."""


def swapped(
    file: DataFile, offset: int, element: DType, shape: tuple[int, ...], max_bytes: int
) -> Iterator[NDArray[Any]]:
    """Yield the elements of a big-endian tensor as blocks of little-endian ones.

    Raises:
        LoadError: If the file ends before.
    """
    import numpy as np

    numel = math.prod(shape)
    step = min(block_length(shape, element, max_bytes), numel) or 1
    words = np.dtype(f"u{element.bits // 8}")
    for start in range(0, numel, step):
        buffer = np.empty(min(step, numel - start), words)
        file.read_into(offset + element.nbytes(start), buffer.view(np.uint8).data)
        yield buffer.byteswap(inplace=True).view(element.numpy)


def dequantised(
    file: DataFile, offset: int, kind: int, shape: tuple[int, ...], swaps: tuple[int, ...], max_bytes: int
) -> Iterator[NDArray[Any]]:
    """Yield the float32 values of a tensor that is stored in blocks.

    Args:
        file: The file that holds them.
        offset: First byte of the first block.
        kind: Number of the type.
        shape: Shape of the values; the last dimension is a multiple of the elements in a block.
        swaps: Where each block holds a number of two bytes, high byte first.
        max_bytes: Most bytes of a block of values.

    Raises:
        LoadError: If the file ends before.
    """
    numel = math.prod(shape)
    if not numel:
        return
    length = block_length(shape, dtype("float32"), max_bytes)
    yield from regroup(_pieces(file, offset, kind, numel, swaps), length, dtype("float32"))


def _pieces(file: DataFile, offset: int, kind: int, numel: int, swaps: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    import numpy as np

    block = BLOCK_TYPES[kind]
    n_blocks, step = numel // block.elements, _PIECE_ELEMENTS // block.elements
    buffer = np.empty((min(step, n_blocks), block.nbytes), np.uint8)
    for first in range(0, n_blocks, step):
        rows = buffer[: n_blocks - first]
        file.read_into(offset + first * block.nbytes, rows.reshape(-1).data)
        for place in swaps:
            rows[:, place : place + 2] = rows[:, [place + 1, place]]
        with np.errstate(all="ignore"):  # damaged scales may be infinite or NaN
            yield _values(rows, kind)


def _values(blocks: NDArray[Any], kind: int) -> NDArray[Any]:
    """Return the values of whole blocks, shape [n, bytes of a block], as a 1-D array."""
    if kind == _Q8_K:
        return _q8_k(blocks)
    if kind == _Q1_0:
        return _q1_0(blocks)
    if kind == _Q2_0:
        return _q2_0(blocks)
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    # As one row: gguf works on 16 rows at a time, however short they are.
    values: NDArray[Any] = dequantize(blocks.reshape(1, -1), GGMLQuantizationType(kind))
    return values.reshape(-1)


def _q8_k(blocks: NDArray[Any]) -> NDArray[Any]:
    """A float32 scale, 256 codes of 8 bits, 16 sums of codes that only speed up a product (ggml: ``block_q8_K``)."""
    import numpy as np

    scale = blocks[:, :4].copy().view("<f4")
    codes = blocks[:, 4:260].copy().view(np.int8).astype(np.float32)
    product: NDArray[Any] = scale * codes
    return product.reshape(-1)


def _q1_0(blocks: NDArray[Any]) -> NDArray[Any]:
    """A float16 scale and 128 bits, the low bit of a byte first: 1 is the scale, 0 its negative (``block_q1_0``)."""
    import numpy as np

    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little")
    return np.where(bits == 1, scale, -scale).reshape(-1)


def _q2_0(blocks: NDArray[Any]) -> NDArray[Any]:
    """A float16 scale and 64 codes of 2 bits, the low ones of a byte first, less 1 (``block_q2_0``)."""
    import numpy as np

    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    codes = (blocks[:, 2:, None] >> np.arange(0, 8, 2, dtype=np.uint8)) & np.uint8(3)
    product: NDArray[Any] = (codes.reshape(len(blocks), -1).astype(np.float32) - np.float32(1)) * scale
    return product.reshape(-1)
