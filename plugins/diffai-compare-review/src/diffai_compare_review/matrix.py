"""A tensor as rows and columns, of which a file gives up what is asked for and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import FileTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_review.effort import Effort
    from diffai_core.plugin import TensorRef

    Lines = NDArray[np.intp]

_LEADING = 1 << 20
"""Elements at the start of a tensor that must be decoded to be read."""


@dataclass(frozen=True)
class Matrix:
    """Rows and columns of elements as they are stored.

    Args:
        source: What is read, of two dimensions: a tensor in a file, or elements that had to be decoded.
        turned: Whether the rows are the columns of the source.
    """

    source: FileTensor | NDArray[Any]
    turned: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.source.shape
        return (columns, rows) if self.turned else (rows, columns)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.source.dtype.numpy if isinstance(self.source, FileTensor) else self.source.dtype

    @property
    def T(self) -> Matrix:  # noqa: N802 - as arrays call it
        """The columns as rows."""
        return Matrix(self.source, not self.turned)

    def head(self, count: int) -> Matrix:
        """Return the first rows alone; of one that is not turned."""
        if isinstance(self.source, FileTensor):
            return Matrix(replace(self.source, shape=(count, self.shape[1])))
        return Matrix(self.source[:count])

    def __getitem__(self, rows: slice | Lines) -> NDArray[Any]:
        """Return whole rows."""
        return self.part(np.arange(len(self))[rows] if isinstance(rows, slice) else rows)

    def part(self, rows: Lines | None = None, columns: Lines | None = None) -> NDArray[Any]:
        """Return the elements at some rows and columns, all of them where ``None``."""
        if self.turned:
            rows, columns = columns, rows
        found = _read(self.source, rows, columns)
        return found.T if self.turned else found

    def elements(self, places: Lines) -> NDArray[Any]:
        """Return elements by their index, counted along the rows; of one that is not turned."""
        if isinstance(self.source, FileTensor):
            return replace(self.source, shape=(self.size,)).read_rows(places)
        found: NDArray[Any] = self.source.reshape(-1)[places]
        return found


def _read(source: FileTensor | NDArray[Any], rows: Lines | None, columns: Lines | None) -> NDArray[Any]:
    if isinstance(source, FileTensor):
        n_rows, n_columns = source.shape
        some = columns if columns is not None and len(columns) < n_columns else None
        found = source.read_rows(np.arange(n_rows) if rows is None else rows, some)
        return found if columns is None or some is not None else found[:, columns]
    picked: NDArray[Any] = source if rows is None else source[rows]
    return picked if columns is None else picked[:, columns]


def matrix(ref: TensorRef, effort: Effort) -> Matrix:
    """Return the first dimension against all others; the leading rows alone of a tensor that has to be decoded."""
    columns = prod(ref.shape[1:]) if len(ref.shape) > 1 else ref.numel
    if isinstance(ref, FileTensor) and ref.dtype.bits >= 8:  # noqa: PLR2004 - packed types are decoded
        return Matrix(replace(ref, shape=(ref.numel // columns, columns)))
    most = effort.elements if effort.full else _LEADING
    rows = min(ref.numel // columns, most // columns)
    return Matrix(_leading(ref, rows * columns).reshape(rows, columns))


def _leading(ref: TensorRef, count: int) -> NDArray[Any]:
    """Return the first ``count`` elements."""
    found = np.empty(count, ref.dtype.numpy)
    filled = 0
    if not count:
        return found
    for block in ref.blocks(1 << 20):
        taken = min(len(block), count - filled)
        found[filled : filled + taken] = block[:taken]
        filled += taken
        if filled == count:
            break
    return found[:filled]
