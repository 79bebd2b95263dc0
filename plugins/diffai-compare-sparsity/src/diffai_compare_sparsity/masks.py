"""How many elements are zero on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffai_core.plugin import regroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef

_LENGTH = 1 << 20
"""Elements of each side that are held at a time; whole bytes of any dtype."""


def count_common_zeros(old: TensorRef, new: TensorRef) -> int:
    """Count the places of two tensors of one shape at which both are zero.

    Raises:
        LoadError: If the bytes cannot be read as declared.
    """
    pieces = zip(_pieces(old), _pieces(new), strict=True)
    return sum(int(np.count_nonzero((a == 0) & (b == 0))) for a, b in pieces)


def _pieces(ref: TensorRef) -> Iterator[NDArray[np.generic]]:
    yield from regroup(ref.blocks(_LENGTH * ref.dtype.bits // 8), _LENGTH, ref.dtype)
