"""How a pair of tensors is laid out, and the canonical partition of its elements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_core.keys import EXACT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.dtypes import DType
    from diffai_core.keys import Tolerance

Leaf = tuple[int, int]
"""``(start, count)``: consecutive elements of the flattened tensor, read and measured together."""

LEAF = 32768
"""Most elements of a leaf: the float64 scratch of one leaf fits into a 2 MiB level-2 cache."""

SEGMENT_LEAVES = 64
"""Leaves that one state takes up before it is merged into the state of all earlier ones."""

SMALL_STATE_BYTES = 64 << 10
"""What the state of a statistic counts, as memory, if it does not say that it takes more."""

_PIECE = 512  # pieces of a long row begin at multiples of this, so that no quantisation group is cut


@dataclass(frozen=True)
class PairLayout:
    """What all blocks of one pair of tensors have in common.

    Args:
        shape: Shape of both tensors.
        rows: Rows of the matrix view: ``shape[0]``, or 1 below two dimensions.
        columns: Columns of the matrix view: the product of the other lengths.
        old_dtype: Type of the elements in OLD.
        new_dtype: Type of the elements in NEW.
        tolerance: How far two values may differ and still count as within tolerance.
    """

    shape: tuple[int, ...]
    rows: int
    columns: int
    old_dtype: DType
    new_dtype: DType
    tolerance: Tolerance = EXACT

    @classmethod
    def of(cls, shape: tuple[int, ...], old_dtype: DType, new_dtype: DType, tolerance: Tolerance = EXACT) -> PairLayout:
        """Return the layout of two tensors of ``shape``.

        Example:
            >>> from diffai_core.dtypes import dtype
            >>> layout = PairLayout.of((8, 3, 5), dtype("float32"), dtype("bfloat16"))
            >>> layout.rows, layout.columns
            (8, 15)
        """
        rows = shape[0] if len(shape) > 1 else 1
        columns = math.prod(shape[1:] if len(shape) > 1 else shape)
        return cls(shape, rows, columns, old_dtype, new_dtype, tolerance)

    @property
    def numel(self) -> int:
        """Number of elements of either tensor."""
        return self.rows * self.columns

    @property
    def measurable(self) -> bool:
        """Whether the elements are numbers; opaque ones can only be equal or not."""
        return self.old_dtype.kind != "opaque" and self.new_dtype.kind != "opaque"

    @property
    def components(self) -> int:
        """Real numbers in one element: 2 if either side is complex."""
        return 2 if "complex" in (self.old_dtype.kind, self.new_dtype.kind) else 1

    @property
    def packed_group(self) -> int:
        """Smallest number of elements that fills whole bytes on both sides."""
        return max(self.old_dtype.packed_group, self.new_dtype.packed_group)


def leaves(layout: PairLayout) -> Iterator[tuple[int, int]]:
    """Yield the canonical partition of the flattened tensor as ``(start, count)``, in order and without gaps.

    A leaf holds as many whole rows as fit into :data:`LEAF`; a longer row is cut into near-equal pieces. Where
    packed elements make that impossible the flat tensor is cut, so that every leaf starts at a whole byte on both
    sides. The partition depends on the shape and on how the elements are packed, on nothing else.

    Example:
        >>> from diffai_core.dtypes import dtype
        >>> float32 = dtype("float32")
        >>> list(leaves(PairLayout.of((7, 10000), float32, float32)))
        [(0, 30000), (30000, 30000), (60000, 10000)]
    """
    numel, columns = layout.numel, layout.columns
    if numel <= LEAF:
        if numel:
            yield 0, numel
        return
    group = layout.packed_group
    if columns > LEAF and columns % group == 0:
        piece = _piece(columns)
        for row in range(0, numel, columns):
            for column in range(0, columns, piece):
                yield row + column, min(piece, columns - column)
        return
    step = _whole_rows(columns, group) or LEAF
    for start in range(0, numel, step):
        yield start, min(step, numel - start)


def _whole_rows(columns: int, group: int) -> int:
    """Return the elements of the most rows that fit into a leaf and fill whole bytes, or 0."""
    rows = LEAF // columns if columns else 0
    while rows and rows * columns % group:
        rows -= 1
    return rows * columns


def _piece(columns: int) -> int:
    """Return the length of the pieces of a row that is longer than a leaf."""
    n_pieces = -(-columns // LEAF)
    return -(-columns // (n_pieces * _PIECE)) * _PIECE
