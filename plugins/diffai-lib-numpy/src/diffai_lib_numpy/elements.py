"""Elements as they lie in a file, one by one or as fields of records, known without NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from diffai_core.plugin import DType


class Element(NamedTuple):
    """A type of elements as they lie in the file.

    Args:
        dtype: What they are.
        swap: Width in bytes of the units to be turned round because they are big-endian; 0 if they are not.
    """

    dtype: DType
    swap: int

    @property
    def size(self) -> int:
        """Bytes of one element."""
        return self.dtype.bits // 8


class Field(NamedTuple):
    """Elements of one type in every record.

    Args:
        path: Names on the way to it, each with a dot before; empty for an array without fields.
        offset: Byte of the record at which the first element starts.
        dims: Length and stride in bytes of each dimension inside the record.
        element: Type of the elements.
    """

    path: str
    offset: int
    dims: tuple[tuple[int, int], ...]
    element: Element

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions inside the record."""
        return tuple(count for count, _ in self.dims)

    @property
    def span(self) -> int:
        """Bytes of a record from the first element to the end of the last, if there is one."""
        return sum((count - 1) * stride for count, stride in self.dims) + self.element.size
