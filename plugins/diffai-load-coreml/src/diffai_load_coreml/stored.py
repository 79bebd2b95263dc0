"""Elements as they lie in a file: where, how many, and of how many bits."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import BlockTensor, DType, FileTensor, Quantization, dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, TensorRef

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

_ODD = {"uint1": 1, "uint3": 3, "uint6": 6}
_INDICES = frozenset({"bool", "int64", "int32", "uint64", "uint32"})


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

    def tensor(self, name: str) -> TensorRef:
        """Return the elements as a tensor."""
        role: Any = "buffers" if self.code in _INDICES or not self.shape else "weights"
        kind = KINDS.get(self.code)
        whole = kind is not None and self.numel % kind.packed_group == 0 and (kind.bits >= 8 or not self.high_first)  # noqa: PLR2004 - a byte
        if kind is not None and whole:
            return FileTensor(name=name, shape=self.shape, dtype=kind, role=role, file=self.file, offset=self.offset)
        read_as = kind or dtype("uint8")
        raw = FileTensor(name=name, shape=(self.nbytes,), dtype=dtype("uint8"), file=self.file, offset=self.offset)
        return BlockTensor(
            name=name,
            shape=self.shape,
            dtype=read_as,
            role=role,
            quantization=None if kind else Quantization(scheme=self.code, bits=self.bits, stored=(raw,)),
            open_blocks=partial(_blocks, self, read_as.name),
            shared_storage=self.place,
        )


def _blocks(stored: Stored, kind: str, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_coreml.decoding import plain_blocks

    return plain_blocks(stored, dtype(kind), max_bytes)
