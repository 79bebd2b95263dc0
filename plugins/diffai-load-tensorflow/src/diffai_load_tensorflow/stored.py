"""Elements as TensorFlow stores them: a whole byte at least for each, row-major, in either byte order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import BlockTensor, FileTensor
from diffai_load_tensorflow.types import item_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, DType, Role, TensorRef
    from diffai_load_tensorflow.slices import Slice


class Stored(NamedTuple):
    """Where elements lie.

    Args:
        file: The file.
        offset: First byte.
        shape: Length of each dimension.
        dtype: Type of the elements.
        is_big_endian: Whether their highest byte comes first.
    """

    file: DataFile
    offset: int
    shape: tuple[int, ...]
    dtype: DType
    is_big_endian: bool = False

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.numel * item_bytes(self.dtype)

    @property
    def is_plain(self) -> bool:
        """Whether the bytes are what the core itself can read."""
        return self.dtype.bits >= 8 and not (self.is_big_endian and self.dtype.bits > 8)  # noqa: PLR2004 - a byte


def stored_tensor(stored: Stored, name: str, role: Role = "weights") -> TensorRef:
    """Return the elements as a lazy tensor."""
    if stored.is_plain:
        return FileTensor(
            name=name, shape=stored.shape, dtype=stored.dtype, role=role, file=stored.file, offset=stored.offset
        )
    return BlockTensor(
        name=name,
        shape=stored.shape,
        dtype=stored.dtype,
        role=role,
        open_blocks=partial(_stored_blocks, stored),
        shared_storage=(stored.file.path, stored.offset, stored.nbytes),
    )


class Part(NamedTuple):
    """A slice of a tensor: which part of it, and where its elements lie."""

    slice: Slice
    stored: Stored


def partitioned_tensor(parts: tuple[Part, ...], shape: tuple[int, ...], name: str, role: Role = "weights") -> TensorRef:
    """Return a tensor that is stored in slices."""
    return BlockTensor(
        name=name,
        shape=shape,
        dtype=parts[0].stored.dtype,
        role=role,
        open_blocks=partial(_partitioned_blocks, parts, shape, name),
        shared_storage=(parts[0].stored.file.path, parts[0].stored.offset, "slices"),
    )


def _stored_blocks(stored: Stored, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_tensorflow.blocks import stored_blocks

    return stored_blocks(stored, max_bytes)


def _partitioned_blocks(
    parts: tuple[Part, ...], shape: tuple[int, ...], name: str, max_bytes: int
) -> Iterator[NDArray[Any]]:
    from diffai_load_tensorflow.blocks import partitioned_blocks

    return partitioned_blocks(parts, shape, name, max_bytes)
