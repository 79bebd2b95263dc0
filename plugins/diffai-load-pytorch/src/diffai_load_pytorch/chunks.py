"""Tensors that lie in parts, each of which holds a box of their elements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import block_length, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, DType

STRIP_BYTES = 4 << 20


class Chunk(NamedTuple):
    """A box of elements, in row-major order without gaps.

    Args:
        offsets: First index in each dimension of the tensor.
        size: Length of each dimension.
        file: Where the elements are.
        start: Offset of the first one.
    """

    offsets: tuple[int, ...]
    size: tuple[int, ...]
    file: DataFile
    start: int


def chunk_blocks(
    chunks: tuple[Chunk, ...], shape: tuple[int, ...], kind: DType, max_bytes: int
) -> Iterator[NDArray[Any]]:
    """Yield all elements in row-major order.

    Args:
        chunks: The parts, which cover the tensor.
        shape: Length of each dimension.
        kind: Type of the elements.
        max_bytes: Most bytes of a block.

    Raises:
        LoadError: If the bytes cannot be read.
    """
    import numpy as np

    from diffai_core.plugin import regroup

    if 0 in shape:
        return
    itemsize = kind.bits // 8
    row = math.prod(shape[1:])
    step = max(1, STRIP_BYTES // (row * itemsize))

    def strips() -> Iterator[NDArray[Any]]:
        for first in range(0, shape[0], step):
            strip = np.empty((min(step, shape[0] - first), *shape[1:]), kind.numpy)
            for chunk in chunks:
                _fill(strip, first, chunk, kind)
            yield strip.reshape(-1)

    yield from regroup(strips(), min(block_length(shape, kind, max_bytes), math.prod(shape)), kind)


def _fill(strip: NDArray[Any], first: int, chunk: Chunk, kind: DType) -> None:
    """Copy those rows of a part that are in the strip, which begins at row ``first``."""
    begin = max(first, chunk.offsets[0])
    end = min(first + len(strip), chunk.offsets[0] + chunk.size[0])
    if begin >= end or 0 in chunk.size:
        return
    width = math.prod(chunk.size[1:]) * kind.bits // 8
    place = chunk.start + (begin - chunk.offsets[0]) * width
    data = chunk.file.read(place, (end - begin) * width)
    rows = decode(data, kind, (end - begin) * math.prod(chunk.size[1:])).reshape(end - begin, *chunk.size[1:])
    inside = tuple(slice(o, o + n) for o, n in zip(chunk.offsets[1:], chunk.size[1:], strict=True))
    strip[(slice(begin - first, end - first), *inside)] = rows
