"""A tensor read in another order of its axes, as other frameworks store it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diffai_core.artifact import TensorRef

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class PermutedTensor(TensorRef):
    """The elements of a tensor as if its axes were stored in another order.

    Args:
        stored: The tensor as it is in the file.
        axes: For each axis of this view that is longer than 1, the axis of ``stored`` it is, counted among those
            that are longer than 1.
    """

    stored: TensorRef
    axes: tuple[int, ...]

    @property
    def storage(self) -> Hashable:
        """That of the stored tensor."""
        return self.stored.storage

    def blocks(self, max_bytes: int) -> Iterator[NDArray[Any]]:
        """Yield the elements in the order of the view; a stored tensor that is no map is held in memory meanwhile."""
        array = self.stored.read().reshape(long_axes(self.stored.shape)).transpose(self.axes)
        most = max(max_bytes // self.dtype.numpy.itemsize, 1)
        yield from _pieces(array, most)


def permuted(stored: TensorRef, shape: tuple[int, ...], axes: tuple[int, ...]) -> PermutedTensor:
    """Return ``stored`` as a tensor of ``shape``.

    Example:
        >>> from diffai_core.testing import artifact
        >>> import numpy as np
        >>> kernel = artifact(tensors={"kernel": np.arange(6).reshape(2, 3)}).tensors["kernel"]
        >>> permuted(kernel, (3, 2), (1, 0)).read().tolist()
        [[0, 3], [1, 4], [2, 5]]
    """
    return PermutedTensor(name=stored.name, shape=shape, dtype=stored.dtype, role=stored.role, stored=stored, axes=axes)


def long_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lengths that are not 1.

    Example:
        >>> long_axes((1, 3, 1, 2))
        (3, 2)
    """
    return tuple(length for length in shape if length != 1)


def _pieces(array: NDArray[Any], most: int) -> Iterator[NDArray[Any]]:
    """Yield all elements in row-major order, at most ``most`` at a time, whole rows where they fit."""
    import numpy as np

    row = math.prod(array.shape[1:])
    if array.size <= most or row == 0:
        yield np.ascontiguousarray(array).reshape(-1)
    elif row <= most:
        step = most // row
        for start in range(0, array.shape[0], step):
            yield np.ascontiguousarray(array[start : start + step]).reshape(-1)
    else:
        for part in array:
            yield from _pieces(part, most)
