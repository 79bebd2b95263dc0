"""A tensor read in another order of its axes, as other frameworks store it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from diffai_core.artifact import FileTensor, TensorRef, regroup
from diffai_core.rows import checked, runs_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from diffai_core.rows import Indices

_PIECE = 1 << 20
"""Bytes that are read at once where rows lie across those of the file."""


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

    def read_rows(self, rows: Indices, columns: Indices | None = None) -> NDArray[Any]:
        """See :meth:`TensorRef.read_rows`; rows that lie across those of the file are read through all of it."""
        import numpy as np

        runs = runs_of(self.shape, rows, None)
        if 0 in runs.shape:
            found = np.empty(runs.shape, self.dtype.numpy)
        elif self.shape[:1] in {(), (1,)}:
            every = range(self.stored.shape[0] if self.stored.shape else 1)
            array = self.stored.read_rows(every).reshape(long_axes(self.stored.shape)).transpose(self.axes)
            found = array.reshape(1, *runs.shape[1:])[runs.numbers]
        elif self.shape[0] != long_axes(self.stored.shape)[self.axes[0]]:  # another shape of the same elements
            return super().read_rows(rows, columns)
        else:
            stored = replace(self.stored, shape=long_axes(self.stored.shape))
            found = _along(stored, self.axes[0], runs.numbers).transpose(self.axes).reshape(runs.shape)
        if columns is None:
            return np.ascontiguousarray(found)
        return found.reshape(len(runs.numbers), math.prod(runs.shape[1:]))[
            :, checked(columns, math.prod(runs.shape[1:]))
        ]

    def forget(self) -> None:
        """See :meth:`TensorRef.forget`."""
        self.stored.forget()


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


def _along(stored: TensorRef, axis: int, indices: NDArray[np.int64]) -> NDArray[Any]:
    """Return the parts of a tensor at some indices of an axis, in the order of its axes."""
    import numpy as np

    if axis == 0:
        return stored.read_rows(indices)
    found = np.empty((*stored.shape[:axis], len(indices), *stored.shape[axis + 1 :]), stored.dtype.numpy)
    start = 0
    for rows in _whole_rows(stored):
        found[start : start + len(rows)] = rows.take(indices, axis=axis)
        start += len(rows)
    return found


def _whole_rows(ref: TensorRef) -> Iterator[NDArray[Any]]:
    """Yield all rows, some at a time; of a file not through its map."""
    length = math.prod(ref.shape[1:])
    step = max(_PIECE // ref.dtype.numpy.itemsize // length, 1)
    if isinstance(ref, FileTensor):
        for start in range(0, ref.shape[0], step):
            yield ref.read_rows(range(start, min(start + step, ref.shape[0])))
    else:
        for piece in regroup(ref.blocks(_PIECE), step * length, ref.dtype):
            yield piece.reshape(-1, *ref.shape[1:])


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
