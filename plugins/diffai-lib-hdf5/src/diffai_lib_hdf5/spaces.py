"""Dataspaces: how many elements there are, and in which shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from diffai_lib_hdf5.region import Cursor

MAX_RANK = 32
_NULL = 2


class Space(NamedTuple):
    """A dataspace.

    Args:
        shape: Length of each dimension.
        limits: Largest length of each dimension; ``None`` for one without limit.
        null: Whether there is no element at all, not even a shape.
    """

    shape: tuple[int, ...]
    limits: tuple[int | None, ...]
    null: bool = False

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return 0 if self.null else math.prod(self.shape)


def space_in(cursor: Cursor) -> Space:
    """Take a dataspace.

    Raises:
        LoadError: If it is damaged.
    """
    version = cursor.version(1, 2)
    rank, flags = cursor.u8(), cursor.u8()
    form = cursor.u8()
    if version == 1:
        cursor.skip(4)
    if rank > MAX_RANK:
        raise cursor.error(f"a dataspace of {rank} dimensions; at most {MAX_RANK} are possible")
    if version > 1 and form == _NULL:
        return Space((), (), null=True)
    shape = tuple(cursor.length() for _ in range(rank))
    unlimited = (1 << 8 * cursor.store.length_bytes) - 1
    limits: tuple[int | None, ...] = shape
    if flags & 1:
        limits = tuple(None if (most := cursor.length()) == unlimited else most for _ in range(rank))
    if any(most is not None and most < length for length, most in zip(shape, limits, strict=True)):
        raise cursor.error(f"a dataspace of shape {shape} is larger than its own limits {limits}")
    return Space(shape, limits)
