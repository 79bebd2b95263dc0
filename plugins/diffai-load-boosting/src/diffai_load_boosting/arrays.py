"""Numbers that were read from text, or that lie big-endian in a file, as tensors."""

from __future__ import annotations

import math
from array import array
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import BlockTensor, FileTensor, block_length, dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, LoadError, TensorRef

_CODES = {
    "float32": "f",
    "float64": "d",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
}


def packed_tensor(
    name: str, values: Sequence[float], dtype_name: str, error: Callable[[str], LoadError]
) -> BlockTensor:
    """Return the tensor of numbers that stand in a file as text.

    Args:
        name: Its name.
        values: The numbers.
        dtype_name: Type in which the library holds them.
        error: Makes an error of what is wrong with them, which knows their place.

    Raises:
        LoadError: If one of them is not of that type.
    """
    try:
        packed = array(_CODES[dtype_name], values)
    except (OverflowError, TypeError) as problem:
        raise error(f"{name} holds something that is no {dtype_name}") from problem
    if packed.typecode == "f" and any(map(math.isinf, packed)) and not any(map(math.isinf, values)):
        raise error(f"{name} holds a number outside the range of float32")
    return BlockTensor(
        name=name,
        shape=(len(packed),),
        dtype=dtype(dtype_name),
        open_blocks=partial(_packed_blocks, packed, dtype_name),
    )


def big_endian_tensor(name: str, dtype_name: str, count: int, file: DataFile, offset: int) -> TensorRef:
    """Return the tensor of ``count`` numbers that lie big-endian in a file; nothing is read."""
    kind = dtype(dtype_name)
    if kind.bits == 8:  # noqa: PLR2004 - a byte has no order
        return FileTensor(name=name, shape=(count,), dtype=kind, file=file, offset=offset)
    return BlockTensor(
        name=name,
        shape=(count,),
        dtype=kind,
        open_blocks=partial(_big_endian_blocks, file, offset, dtype_name, count),
        shared_storage=(file.path, offset),
    )


def _packed_blocks(packed: array[float], dtype_name: str, max_bytes: int) -> Iterator[NDArray[Any]]:
    import numpy as np

    values = np.array(packed, dtype_name)
    step = block_length(values.shape, dtype(dtype_name), max_bytes)
    for start in range(0, len(values), step):
        yield values[start : start + step]


def _big_endian_blocks(
    file: DataFile, offset: int, dtype_name: str, count: int, max_bytes: int
) -> Iterator[NDArray[Any]]:
    import numpy as np

    kind = dtype(dtype_name).numpy
    step = block_length((count,), dtype(dtype_name), max_bytes)
    for start in range(0, count, step):
        n_items = min(step, count - start)
        raw = file.read(offset + start * kind.itemsize, n_items * kind.itemsize)
        yield np.frombuffer(raw, kind.newbyteorder(">")).astype(kind)
