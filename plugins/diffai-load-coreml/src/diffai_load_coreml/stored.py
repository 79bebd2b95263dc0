"""Elements as they lie in a file: where, how many, and of how many bits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import DType, dtype

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

KINDS: dict[str, DType] = {
    code: dtype(name)
    for code, name in (
        ("bool", "bool"),
        ("float16", "float16"),
        ("float32", "float32"),
        ("float64", "float64"),
        ("bfloat16", "bfloat16"),
        ("float8e4m3fn", "float8_e4m3fn"),
        ("float8e5m2", "float8_e5m2"),
        *((name, name) for name in ("int64", "int32", "int16", "int8", "int4")),
        *((name, name) for name in ("uint64", "uint32", "uint16", "uint8", "uint4", "uint2")),
    )
}
"""Element types of the vocabulary by the names that Core ML gives them, in lower case."""

_ODD = {f"uint{bits}": bits for bits in (1, 3, 5, 6, 7)}


def bits_of(code: str) -> int | None:
    """Return the bits of an element; ``None`` for a type without elements of a fixed size."""
    return KINDS[code].bits if code in KINDS else _ODD.get(code)


class Stored(NamedTuple):
    """Elements in a file.

    Args:
        file: The file.
        offset: First byte.
        code: Element type, as Core ML calls it.
        shape: Length of each dimension.
        high_first: Whether elements of less than a byte begin with the high bits.
    """

    file: DataFile
    offset: int
    code: str
    shape: tuple[int, ...]
    high_first: bool = False

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bits(self) -> int:
        """Bits of an element."""
        bits = bits_of(self.code)
        assert bits is not None
        return bits

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return -(-self.numel * self.bits // 8)

    @property
    def place(self) -> tuple[str, int, int]:
        """What tensors that share these bytes have in common."""
        return (self.file.path, self.offset, self.nbytes)
