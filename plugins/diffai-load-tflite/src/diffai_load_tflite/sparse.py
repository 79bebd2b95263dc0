"""Constants of which only some elements are stored: spread over their shape as they are read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import BlockTensor, shown
from diffai_load_tflite.flatbuffer import I8, U8, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, DType
    from diffai_load_tflite.flatbuffer import Table
    from diffai_load_tflite.model import Tensor

MAX_STORED = 16 << 20
"""Elements stored of a sparse constant; where each goes takes 24 bytes of memory."""
MAX_RATIO = 4096
"""Elements of a sparse constant for each of those that are stored; small ones may have more."""
_SMALL = 1 << 20
_TRAVERSAL_ORDER, _BLOCK_MAP, _DIMENSIONS = 0, 1, 2
_FORMAT, _DENSE_SIZE, _SEGMENTS_TYPE, _SEGMENTS, _INDICES_TYPE, _INDICES = range(6)
_SPARSE = 1
_CODES = {1: "i", 2: "H", 3: "B"}


class Level(NamedTuple):
    """A dimension in the order in which elements are stored.

    Args:
        target: Dimension of the shape that it counts along.
        is_block: Whether it counts inside of a block of that dimension.
        size: Its length; 0 where it is sparse.
        segments: Where the entries of each parent begin; then where the last ones end.
        indices: Place of each entry.
    """

    target: int
    is_block: bool
    size: int
    segments: tuple[int, ...] = ()
    indices: tuple[int, ...] = ()


class Sparse(NamedTuple):
    """The stored elements of a constant and where they go."""

    file: DataFile
    data: Vector
    dtype: DType
    shape: tuple[int, ...]
    levels: tuple[Level, ...]


def sparse_tensor(tensor: Tensor, kind: DType, table: Table) -> BlockTensor:
    """Return a constant with all its elements, those that are not stored being 0.

    Raises:
        LoadError: If its description is damaged, or it is larger than ``MAX_STORED``.
    """
    assert tensor.data is not None
    if kind.bits % 8:
        raise table.buffer.error(
            f"tensor {shown(tensor.name)} is sparse and has elements of {kind.bits} bits", table.at
        )
    if tensor.data.length > MAX_STORED * kind.bits // 8:
        raise table.buffer.error(
            f"tensor {shown(tensor.name)} is sparse and has more than {MAX_STORED:,} elements", table.at
        )
    numel = 1
    for length in tensor.shape:
        numel *= length
    if numel > max(_SMALL, MAX_RATIO * tensor.data.length):
        reason = f"tensor {shown(tensor.name)} is sparse and has {numel:,} elements in {tensor.data.length:,} bytes"
        raise table.buffer.error(reason, table.at)
    sparse = Sparse(table.buffer.file, tensor.data, kind, tensor.shape, _levels(tensor, table))
    return BlockTensor(
        name=tensor.name,
        shape=tensor.shape,
        dtype=kind,
        open_blocks=partial(_blocks, sparse),
        shared_storage=(table.buffer.file.path, tensor.data, table.at),
    )


def _levels(tensor: Tensor, table: Table) -> tuple[Level, ...]:
    order, block_map = table.wholes(_TRAVERSAL_ORDER), table.wholes(_BLOCK_MAP)
    tables = list(table.tables(_DIMENSIONS))
    rank = len(tensor.shape)
    targets = [*range(rank), *block_map]
    if sorted(order) != list(range(len(targets))) or len(tables) != len(order):
        raise table.buffer.error(
            f"the dimensions of the sparse tensor {shown(tensor.name)} are no permutation", table.at
        )
    if len(set(block_map)) != len(block_map) or any(not 0 <= target < rank for target in block_map):
        raise table.buffer.error(f"the blocks of the sparse tensor {shown(tensor.name)} have no dimension", table.at)
    return tuple(
        _level(dimension, targets[place], place >= rank) for dimension, place in zip(tables, order, strict=True)
    )


def _level(table: Table, target: int, is_block: bool) -> Level:
    if table.whole(_FORMAT, I8) != _SPARSE:
        size = table.whole(_DENSE_SIZE)
        if size < 0:
            raise table.buffer.error(f"a dimension of a sparse tensor has the length {size:,}", table.at)
        return Level(target, is_block, size)
    return Level(
        target,
        is_block,
        0,
        _whole_vector(table, _SEGMENTS_TYPE, _SEGMENTS),
        _whole_vector(table, _INDICES_TYPE, _INDICES),
    )


def _whole_vector(table: Table, type_slot: int, slot: int) -> tuple[int, ...]:
    code, vector = _CODES.get(table.whole(type_slot, U8)), table.table(slot)
    if code is None or vector is None:
        raise table.buffer.error("a sparse dimension has no indices", table.at)
    return tuple(map(int, vector.numbers(0, code)))


def _blocks(sparse: Sparse, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_tflite.spread import spread_blocks

    return spread_blocks(sparse, max_bytes)
