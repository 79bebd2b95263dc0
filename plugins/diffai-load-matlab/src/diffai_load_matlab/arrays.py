"""Arrays of numbers that lie in a file as MATLAB keeps them: the first index running fastest."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5 import Dataset, Field, element_of, tensor_of
from diffai_lib_hdf5.layout import CONTIGUOUS, Layout
from diffai_lib_hdf5.region import Store
from diffai_lib_hdf5.spaces import Space

from diffai_core.plugin import BlockTensor, block_length, dtype
from diffai_load_matlab.values import Make, Numeric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_hdf5 import Region
    from diffai_lib_hdf5.types import Type
    from numpy.typing import NDArray

    from diffai_core.plugin import DType, TensorRef

MAX_TURNED_BYTES = 512 << 20
"""Largest compressed array of several dimensions: it is decompressed again for every 64 MiB of it."""


def numeric(region: Region, places: tuple[int, ...], stored: Type, shape: tuple[int, ...], wanted: str) -> Numeric:
    """Return an array.

    Args:
        region: Where it lies.
        places: Where in the region the elements start; for complex numbers, those of both parts.
        stored: How elements are stored.
        shape: Shape of the array.
        wanted: Dtype of the elements in MATLAB, which may be stored as a smaller one.

    Raises:
        LoadError: If the elements lie outside of the region.
    """
    for place in places:
        region.check("an array", place, math.prod(shape) * stored.size)
    make = partial(_tensor, region, places, stored, shape, dtype(wanted))
    return Numeric(shape, make, partial(scalar_of, make), is_complex=len(places) > 1)


def _tensor(
    region: Region, places: tuple[int, ...], stored: Type, shape: tuple[int, ...], wanted: DType, name: str
) -> TensorRef:
    parts = tuple(_part(region, place, stored, shape, name) for place in places)
    if len(parts) == 1 and parts[0].dtype == wanted:
        return parts[0]
    return BlockTensor(
        name=name,
        shape=shape,
        dtype=wanted,
        open_blocks=partial(_converted, parts, shape, wanted),
        shared_storage=(region.file.path, region.place(places[0]), places),
    )


def _part(region: Region, place: int, stored: Type, shape: tuple[int, ...], name: str) -> TensorRef:
    """Return elements that follow each other as a tensor of MATLAB's shape."""
    element = element_of(stored)
    assert element is not None
    turned = shape[::-1]
    layout = Layout(CONTIGUOUS, place, math.prod(shape) * stored.size)
    dataset = Dataset(name, Store(region, 8, 8), place, stored, Space(turned, turned), layout, (), b"")
    return tensor_of(dataset, Field("", 0, (), element), name, turned=True)


def _converted(
    parts: tuple[TensorRef, ...], shape: tuple[int, ...], wanted: DType, max_bytes: int
) -> Iterator[NDArray[Any]]:
    """Yield blocks of the wanted dtype; complex numbers from the blocks of their two parts."""
    import numpy as np

    length = block_length(shape, wanted, max_bytes)
    pieces = [part.blocks(length * part.dtype.bits // 8) for part in parts]
    for blocks in zip(*pieces, strict=True):
        block = np.empty(len(blocks[0]), wanted.numpy)
        if len(blocks) == 1:
            block[:] = blocks[0]
        else:
            block.real, block.imag = blocks
        yield block


def scalar_of(make: Make) -> Any:
    """Return the first element of an array, as a plain value."""
    return make("").read().reshape(-1)[0].item()
