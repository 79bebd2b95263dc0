"""Datasets as lazy tensors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_numpy.elements import Element, Field

from diffai_core.plugin import BlockTensor, FileTensor, dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import Role, TensorRef
    from diffai_lib_hdf5.datasets import Dataset


def tensor_of(dataset: Dataset, field: Field, name: str, role: Role = "weights", *, turned: bool = False) -> TensorRef:
    """Return one field of a dataset as a tensor: of the file itself where the elements lie there as they are.

    Args:
        dataset: The dataset.
        field: Which bytes of each element.
        name: Name of the tensor.
        role: What it is for.
        turned: Whether the dimensions come in reverse order, as MATLAB counts them.
    """
    shape = dataset.space.shape
    order = tuple(range(len(shape)))
    if turned:
        order, shape = order[::-1], shape[::-1]
    shape += field.shape
    plain = not field.offset and not field.dims and field.element.size == dataset.type.size and not field.element.swap
    straight = not turned or sum(length > 1 for length in shape) <= 1
    start = dataset.start
    if plain and straight and start is not None:
        region = dataset.store.region
        return FileTensor(name=name, shape=shape, dtype=field.element.dtype, role=role, file=region.file, offset=start)
    return BlockTensor(
        name=name,
        shape=shape,
        dtype=field.element.dtype,
        role=role,
        open_blocks=partial(_blocks, dataset, field, order, shape),
        shared_storage=(dataset.store.region.file.path, dataset.address, field.path),
    )


def _blocks(
    dataset: Dataset, field: Field, order: tuple[int, ...], shape: tuple[int, ...], max_bytes: int
) -> Iterator[NDArray[Any]]:
    from diffai_lib_hdf5.blocks import field_blocks

    return field_blocks(dataset, field, order, shape, max_bytes)


def as_bfloat16(field: Field) -> Field:
    """Return a field of two raw bytes as what Keras says that they are."""
    return field._replace(element=Element(dtype("bfloat16"), 0))
