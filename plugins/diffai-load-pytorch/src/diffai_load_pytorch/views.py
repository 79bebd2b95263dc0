"""Where the elements of tensors are that have to be worked out; described without NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import BlockTensor, dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_lib_zip import Payload
    from numpy.typing import NDArray

    from diffai_core.plugin import DType, TensorRef


@dataclass(frozen=True)
class StridedBytes:
    """Where the elements of a view are.

    Args:
        payload: The bytes of the storage.
        dtype: Type of the elements.
        itemsize: Bytes of one item of the storage.
        start: Byte of the first item.
        size: Items along each dimension.
        stride: Items from one index to the next, by dimension.
        shape: Elements along each dimension; an item may hold several of a type smaller than a byte.
        swap: Width in bytes of the units to be turned round because they are big-endian; 0 if they are not.
        is_negative: Whether each element is to be negated.
        is_conjugate: Whether each element is to be conjugated.
    """

    payload: Payload
    dtype: DType
    itemsize: int
    start: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    shape: tuple[int, ...]
    swap: int = 0
    is_negative: bool = False
    is_conjugate: bool = False

    @property
    def span(self) -> int:
        """Bytes from the first item to the end of the last."""
        if 0 in self.size:
            return 0
        return (sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True)) + 1) * self.itemsize


@dataclass(frozen=True)
class Codes:
    """A quantised tensor.

    Args:
        codes: The codes.
        scale: One scale, or one for each channel.
        zero_point: The same.
        axis: Dimension of the channels; ``None`` if there is one scale for all.
        is_float: Whether zero points are floats.
    """

    codes: TensorRef
    scale: TensorRef
    zero_point: TensorRef
    axis: int | None
    is_float: bool


def view_blocks(view: StridedBytes, max_bytes: int, *, contiguous: bool) -> Iterator[NDArray[Any]]:
    """Yield the elements of a view.

    Args:
        view: The view.
        max_bytes: Most bytes of a block.
        contiguous: Whether the elements lie in row-major order without gaps.
    """
    from diffai_load_pytorch.strided import contiguous_blocks, strided_blocks

    return contiguous_blocks(view, max_bytes) if contiguous else strided_blocks(view, max_bytes)


def code_blocks(codes: Codes, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield the numbers that codes stand for."""
    from diffai_load_pytorch.quantized import dequantized_blocks

    return dequantized_blocks(codes, max_bytes)


def number(name: str, value: float, kind: str) -> TensorRef:
    """Return a tensor of one number that stands in the pickle."""
    return BlockTensor(name=name, shape=(1,), dtype=dtype(kind), open_blocks=partial(_number_blocks, value, kind))


def _number_blocks(value: float, kind: str, _max_bytes: int) -> Iterator[NDArray[Any]]:
    import numpy as np

    yield np.array([value], kind)
