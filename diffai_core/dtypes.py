"""The one vocabulary of element types, and how packed bytes become NumPy arrays.

NumPy and ml_dtypes are imported only when an array is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTypeKind = Literal["float", "int", "uint", "bool", "complex", "opaque"]


class DType(NamedTuple):
    """An element type.

    Args:
        name: Name in the vocabulary: ``float32``, ``bfloat16``, ``float8_e4m3fn``, ``int4`` …
        bits: Bits of one element as stored; 4 and 6 are packed without gaps, the low bits of a byte first.
        kind: What the bits mean; ``opaque`` elements can only be equal or not.
    """

    name: str
    bits: int
    kind: DTypeKind

    def __str__(self) -> str:
        return self.name

    @property
    def numpy(self) -> np.dtype[Any]:
        """The dtype of arrays that hold such elements, one element per item, little-endian."""
        import numpy as np

        if self.kind == "opaque":
            return np.dtype(f"V{self.bits // 8}")
        if self.name in _NUMPY_NAMES:
            return np.dtype(self.name)
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, self.name))
        return found

    def nbytes(self, n_elements: int) -> int:
        """Bytes of ``n_elements`` packed elements.

        Raises:
            ValueError: If they do not fill whole bytes.
        """
        n_bits = n_elements * self.bits
        if n_bits % 8:
            msg = f"{n_elements} elements of {self.name} do not fill whole bytes"
            raise ValueError(msg)
        return n_bits // 8

    @property
    def packed_group(self) -> int:
        """Smallest number of elements that fills whole bytes: 1, 2 (4 bits) or 4 (6 and 2 bits)."""
        return {1: 8, 2: 4, 4: 2, 6: 4}.get(self.bits, 1)


_NUMPY_NAMES = frozenset(
    {
        *("float16", "float32", "float64", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    }
)
_FLOATS = {
    "float64": 64,
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "float8_e4m3fn": 8,
    "float8_e4m3fnuz": 8,
    "float8_e4m3": 8,
    "float8_e4m3b11fnuz": 8,
    "float8_e3m4": 8,
    "float8_e5m2": 8,
    "float8_e5m2fnuz": 8,
    "float8_e8m0fnu": 8,
    "float6_e2m3fn": 6,
    "float6_e3m2fn": 6,
    "float4_e2m1fn": 4,
}
_KINDS: dict[DTypeKind, dict[str, int]] = {
    "float": _FLOATS,
    "int": {"int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4, "int2": 2},
    "uint": {"uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "uint4": 4, "uint2": 2},
    "bool": {"bool": 8},
    "complex": {"complex64": 64, "complex128": 128},
}
_TABLE = {name: DType(name, bits, kind) for kind, sizes in _KINDS.items() for name, bits in sizes.items()}

DTYPE_NAMES: tuple[str, ...] = tuple(_TABLE)


def dtype(name: str) -> DType:
    """Return the element type called ``name``.

    Raises:
        KeyError: If the vocabulary has no such name.

    Example:
        >>> dtype("bfloat16").bits
        16
    """
    return _TABLE[name]


def opaque_dtype(name: str, itemsize: int) -> DType:
    """Return a type for elements of ``itemsize`` bytes that can only be equal or not, such as fixed-size strings."""
    return DType(name, itemsize * 8, "opaque")


def decode(raw: Any, dtype_: DType, n_elements: int) -> NDArray[Any]:
    """Return the ``n_elements`` elements packed in ``raw`` as a 1-D array.

    A view where an element fills whole bytes; packed types (2, 4 and 6 bits) are unpacked into a new array.

    Args:
        raw: Bytes-like object that holds at least the elements, little-endian.
        dtype_: Type of the elements.
        n_elements: Number of elements.
    """
    import numpy as np

    if dtype_.bits >= 8:  # noqa: PLR2004 - a byte
        return np.frombuffer(raw, dtype_.numpy, count=n_elements)
    packed = np.frombuffer(raw, np.uint8, count=dtype_.nbytes(n_elements))
    if dtype_.bits == 6:  # noqa: PLR2004 - four elements in three bytes
        triples = packed.reshape(-1, 3).astype(np.uint32)
        word = triples[:, 0] | triples[:, 1] << 8 | triples[:, 2] << 16
        codes = np.stack([(word >> shift & 63) for shift in (0, 6, 12, 18)], axis=1)
    else:
        per_byte = 8 // dtype_.bits
        mask = (1 << dtype_.bits) - 1
        codes = np.stack([(packed >> (dtype_.bits * i)) & mask for i in range(per_byte)], axis=1)
    return _items(codes.astype(np.uint8).reshape(-1), dtype_)


def canonical(elements: NDArray[Any], dtype_: DType) -> NDArray[Any]:
    """Return 1-D elements as :func:`decode` does.

    ml_dtypes takes a byte for a type of fewer bits and leaves it open what the others hold: it writes -1 of ``int4``
    as 0x0F and reads 0xFF as well.
    """
    if dtype_.bits >= 8:  # noqa: PLR2004 - a byte
        return elements
    import numpy as np

    return _items(elements.view(np.uint8) & np.uint8((1 << dtype_.bits) - 1), dtype_)


def _items(codes: NDArray[np.uint8], dtype_: DType) -> NDArray[Any]:
    """Return elements of less than a byte from their bits; integers with their sign in the whole byte."""
    import numpy as np

    if dtype_.kind == "int":
        sign = np.uint8(1 << (dtype_.bits - 1))
        codes = (codes ^ sign) - sign
    return codes.view(dtype_.numpy)
