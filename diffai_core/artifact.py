"""What a loader opens: lazy tensors, a tree of plain values, tables and a graph.

Importing this module imports no NumPy; arrays appear when a tensor is read.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from diffai_core.dtypes import DType, decode
from diffai_core.rows import from_file, from_pieces, runs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.errors import LoadError
    from diffai_core.files import DataFile
    from diffai_core.findings import NotCompared
    from diffai_core.graph import Graph
    from diffai_core.rows import Indices

_PIECE = 1 << 20
"""Bytes that are decoded at once where rows are looked for."""
Role = Literal["weights", "adapter", "optimizer", "gradients", "ema", "buffers"]
"""What a tensor is for. An adapter is what fine-tuning added to a layer (LoRA and its like)."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How a tensor is stored whose elements must be computed from codes.

    Args:
        scheme: What the format calls it: ``q4_k``, ``int8_affine``, ``gptq``, ``awq``, ``bnb_nf4`` …; shown to users
            in place of a dtype.
        bits: Bits of one code, scales not included.
        stored: The bytes of the tensor as they are in the file: codes, scales, zero points, always in the same
            order. Two tensors of one scheme whose stored parts are equal are identical.
        group_size: Consecutive elements that share a scale; ``None`` where a scale holds for a whole row or tensor.
        axis: Dimension along which scales differ; ``None`` for one scale, or for groups within a row.
    """

    scheme: str
    bits: float
    stored: tuple[TensorRef, ...]
    group_size: int | None = None
    axis: int | None = None


class Foreign(NamedTuple):
    """Something that a file wants to have imported or called. It never is.

    Args:
        name: Full name, for instance ``posix.system``.
        path: The file, as messages name it.
        offset: Byte at which the file asks for it.
    """

    name: str
    path: str
    offset: int


@dataclass(frozen=True, kw_only=True)
class TensorRef(ABC):
    """A tensor that can be read but has not been.

    Args:
        name: Key in the state dict.
        shape: Length of each dimension; ``()`` for a scalar.
        dtype: Type of the elements as they are read; of a quantised tensor, what dequantising gives.
        role: What the tensor is for.
        quantization: How it is stored, if its elements are computed from codes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    role: Role = "weights"
    quantization: Quantization | None = None

    @property
    def is_parameter(self) -> bool:
        """Whether its elements count as parameters of the model."""
        return self.role in {"weights", "adapter"}

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, packed; of a quantised tensor, of its stored parts."""
        if self.quantization is not None:
            return sum(part.nbytes for part in self.quantization.stored)
        return -(-math.prod(self.shape) * self.dtype.bits // 8)

    @property
    def stored_as(self) -> str:
        """Name of the quantisation scheme, or of the dtype: what users are shown."""
        return self.dtype.name if self.quantization is None else self.quantization.scheme

    @property
    def storage(self) -> Hashable:
        """Equal for tensors that share their bytes (tied weights), so that they are counted once."""
        return id(self)

    @abstractmethod
    def blocks(self, max_bytes: int) -> Iterator[NDArray[Any]]:
        """Yield all elements in row-major order as consecutive 1-D arrays of at most ``max_bytes``.

        A block holds whole rows (of the first dimension) where a row fits, and at least one element. It may be
        a view of memory that the next block overwrites, so copy what must last.

        Raises:
            LoadError: If the bytes cannot be read as declared.
        """

    def read(self) -> NDArray[Any]:
        """Return the whole tensor, shaped; without copying where the format allows.

        Raises:
            LoadError: If the bytes cannot be read as declared.
        """
        import numpy as np

        blocks = [block.copy() for block in self.blocks(1 << 24)]
        flat = np.concatenate(blocks) if blocks else np.empty(0, self.dtype.numpy)
        return flat.reshape(self.shape)

    def read_rows(self, rows: Indices, columns: Indices | None = None) -> NDArray[Any]:
        """Return some rows of the first dimension; memory and reads grow with what is asked for, not with the tensor.

        A sample is read this way and not through :meth:`read`: a map keeps large pieces of the file around each row.
        A tensor that its loader decodes is decoded up to the last row.

        Args:
            rows: Indices in any order; of a scalar, its only row is 0.
            columns: Of each row, these elements (indices into the row, flattened); all if not given.

        Returns:
            A new array of shape ``(len(rows), *shape[1:])``, or ``(len(rows), len(columns))``.

        Raises:
            IndexError: If there is no such row or column; negative indices are none.
            LoadError: If the bytes cannot be read as declared.
        """
        runs = runs_of(self.shape, rows, columns)
        pieces = self.blocks(_PIECE)
        if runs.length > 1:
            at_once = max(_PIECE * 8 // self.dtype.bits // runs.length, 1) * runs.length
            pieces = regroup(pieces, at_once, self.dtype)
        return from_pieces(pieces, self.dtype, runs)

    def forget(self) -> None:  # noqa: B027 - most tensors have nothing to let go
        """Let the memory go that the file takes after :meth:`read`; arrays that were read stay as they are."""


@dataclass(frozen=True, kw_only=True)
class FileTensor(TensorRef):
    """A tensor whose elements lie little-endian, row-major and without gaps in a file; never a quantised one.

    This is the fast road: the core reads such tensors itself, in the order and in the pieces that suit it.

    Args:
        file: The file that holds the bytes.
        offset: Byte offset of the first element; any alignment.
    """

    file: DataFile
    offset: int

    @property
    def storage(self) -> Hashable:
        """Path, place and length of the bytes."""
        return (self.file.path, self.offset, self.nbytes)

    def blocks(self, max_bytes: int) -> Iterator[NDArray[Any]]:
        """Yield views of the mapped file (new arrays for types smaller than a byte)."""
        step = block_length(self.shape, self.dtype, max_bytes)
        for start in range(0, self.numel, step):
            count = min(step, self.numel - start)
            begin = self.offset + self.dtype.nbytes(start)
            n_bytes = self.dtype.nbytes(count)
            yield decode(self.file.map()[begin : begin + n_bytes], self.dtype, count)
            self.file.forget(begin, n_bytes)

    def read(self) -> NDArray[Any]:
        """Return a read-only view of the mapped file (a new array for types smaller than a byte)."""
        view = self.file.map()[self.offset : self.offset + self.nbytes]
        return decode(view, self.dtype, self.numel).reshape(self.shape)

    def read_rows(self, rows: Indices, columns: Indices | None = None) -> NDArray[Any]:
        """See :meth:`TensorRef.read_rows`; reads at most 4 KiB between two rows or columns that it does not need."""
        return from_file(self.file, self.offset, self.dtype, runs_of(self.shape, rows, columns))

    def forget(self) -> None:
        """See :meth:`TensorRef.forget`."""
        self.file.forget(self.offset, self.nbytes)


@dataclass(frozen=True, kw_only=True)
class BlockTensor(TensorRef):
    """A tensor that its loader decodes as it reads: compressed, strided, quantised.

    Args:
        open_blocks: Called with ``max_bytes``; yields what :meth:`TensorRef.blocks` promises, from the start each
            time. Use a module-level function with ``functools.partial``, so that the tensor stays picklable.
        shared_storage: Equal for tensors that share their bytes, or ``None``.
    """

    open_blocks: Callable[[int], Iterator[NDArray[Any]]]
    shared_storage: Hashable = None

    @property
    def storage(self) -> Hashable:
        """The loader's key of the bytes, or the tensor itself."""
        return id(self) if self.shared_storage is None else self.shared_storage

    def blocks(self, max_bytes: int) -> Iterator[NDArray[Any]]:
        """Yield what the loader decodes."""
        return self.open_blocks(max_bytes)


def block_length(shape: tuple[int, ...], dtype: DType, max_bytes: int) -> int:
    """Return how many elements a block of at most ``max_bytes`` holds: whole rows where a row fits.

    Always at least 1 and a multiple of ``dtype.packed_group``.
    """
    group = dtype.packed_group
    fits = max(max_bytes * 8 // dtype.bits // group * group, group)
    row = math.prod(shape[1:]) or 1
    rows = fits // row
    while rows and rows * row % group:
        rows -= 1
    return rows * row or fits


def regroup(pieces: Iterable[NDArray[Any]], length: int, dtype: DType) -> Iterator[NDArray[Any]]:
    """Cut and join 1-D pieces into blocks of ``length`` elements; the last may be shorter.

    For :class:`BlockTensor`: what is decoded comes in pieces of its own, and ``block_length`` says how long blocks are.
    A block is a view of a piece where it fits, else of memory that the next block overwrites.

    Example:
        >>> import numpy as np
        >>> from diffai_core.dtypes import dtype
        >>> [block.tolist() for block in regroup([np.arange(3), np.arange(3, 7)], 2, dtype("int64"))]
        [[0, 1], [2, 3], [4, 5], [6]]
    """
    import numpy as np

    buffer = np.empty(0, dtype.numpy)
    filled = 0
    for piece in pieces:
        used = 0
        while used < len(piece):
            if not filled and len(piece) - used >= length:
                yield piece[used : used + length]
                used += length
                continue
            if not len(buffer):
                buffer = np.empty(length, dtype.numpy)
            count = min(length - filled, len(piece) - used)
            buffer[filled : filled + count] = piece[used : used + count]
            filled, used = filled + count, used + count
            if filled == length:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What one side of a comparison is, opened lazily. A context manager that closes its files.

    Args:
        name: As the user named it.
        format: Name of the loader.
        tensors: Tensors by key, in the order of the file.
        tree: Nested plain values (dict, list, str, int, float, bool, None, bytes): config, metadata.
        tables: Streamed tables by name.
        graph: Operators and how they are connected, or ``None``.
        files: The files it is made of; all that is opened is here, and nothing else.
        foreign: What the files want to have imported or called beyond what their format needs; none of it was.
        not_readable: Parts that are there and that this loader cannot represent; they make a pass impossible.
        errors: Damaged files of a folder whose other files are compared all the same.
    """

    name: str
    format: str
    tensors: Mapping[str, TensorRef] = field(default_factory=dict)
    tree: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    graph: Graph | None = None
    files: tuple[DataFile, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    not_readable: tuple[NotCompared, ...] = ()
    errors: tuple[LoadError, ...] = ()

    def check_unchanged(self) -> None:
        """Make sure that no file was written to since it was opened.

        Raises:
            LoadError: If one was.
        """
        for file in self.files:
            file.check_unchanged()

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
