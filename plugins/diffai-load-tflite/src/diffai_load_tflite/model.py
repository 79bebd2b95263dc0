"""What a model file holds, as records: its tables read and checked, its tensors named and placed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.plugin import shown
from diffai_load_tflite.flatbuffer import BOOL, I8, U32, U64, Vector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diffai_load_tflite.flatbuffer import FlatBuffer, Table

MAX_DIMENSIONS = 64
"""NumPy's limit."""
MAX_ELEMENTS = 1 << 58
NO_TENSOR = -1
"""Stands in lists of inputs for one that was left out."""
_MODEL_SUBGRAPHS, _MODEL_BUFFERS = 2, 4
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2
_SHAPE, _TYPE, _BUFFER, _NAME, _QUANTIZATION = 0, 1, 2, 3, 4
_SPARSITY, _SHAPE_SIGNATURE, _HAS_RANK, _EXTERNAL_BUFFER = 6, 7, 8, 10


class Tensor(NamedTuple):
    """A tensor of a subgraph, constant or not.

    Args:
        table: What it was read from.
        name: Its own name, or one like it where another tensor has that; unique in the file.
        shape: Length of each dimension.
        open_shape: The same with ``None`` where a length is open; ``None`` where not even the rank is known.
        type: Number of its element type.
        data: Where its elements lie; ``None`` if it is no constant.
        is_external: Whether its elements lie in another file.
    """

    table: Table
    name: str
    shape: tuple[int, ...]
    open_shape: tuple[int | None, ...] | None
    type: int
    data: Vector | None
    is_external: bool

    @property
    def quantization(self) -> Table | None:
        """The parameters of its quantisation."""
        return self.table.table(_QUANTIZATION)

    @property
    def sparsity(self) -> Table | None:
        """How its elements are spread over its shape, if most of them are left out."""
        return self.table.table(_SPARSITY)


class Subgraph(NamedTuple):
    """A function: its table, name and tensors."""

    table: Table
    name: str
    tensors: tuple[Tensor, ...]


class Model(NamedTuple):
    """A file: its root, its subgraphs (the first one is the model), and where its buffers lie."""

    root: Table
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[Vector | None, ...]


def read_model(buffer: FlatBuffer) -> Model:
    """Read everything but elements, operators and what describes the model.

    Raises:
        LoadError: If the file breaks the format.
    """
    root = buffer.root()
    buffers = tuple(_placed(table) for table in root.tables(_MODEL_BUFFERS))
    tables = list(root.tables(_MODEL_SUBGRAPHS))
    parts = [list(table.tables(0)) for table in tables]
    names = iter(_unique_names(parts))
    subgraphs = []
    for number, (table, tensors) in enumerate(zip(tables, parts, strict=True)):
        read = tuple(_tensor(tensor, next(names), buffers) for tensor in tensors)
        subgraphs.append(Subgraph(table, table.text(4) or ("main" if not number else f"subgraph_{number}"), read))
    return Model(root, tuple(subgraphs), buffers)


def _placed(table: Table) -> Vector | None:
    """Return where the bytes of a buffer lie: in the FlatBuffer, or behind it where they are too large for it."""
    offset = table.whole(_BUFFER_OFFSET, U64)
    if offset > 1:  # the converter writes 1 until it knows the place
        size = table.whole(_BUFFER_SIZE, U64)
        table.buffer.check_room(offset, size)
        return Vector(offset, size)
    return table.vector(_BUFFER_DATA, 1)


def _unique_names(subgraphs: Iterable[Sequence[Table]]) -> list[str]:
    """Return a name for each tensor; of several that have one, and of those that have none, in their order.

    The first tensor called ``x`` keeps its name, the next ones are ``x#2``, ``x#3`` …
    """
    names = [tensor.text(_NAME) or f"tensor_{number}" for tensors in subgraphs for number, tensor in enumerate(tensors)]
    taken = set(names)
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        own = name
        if seen[name] > 1:
            while (own := f"{name}#{seen[name]}") in taken:
                seen[name] += 1
        taken.add(own)
        unique.append(own)
    return unique


def _tensor(table: Table, name: str, buffers: tuple[Vector | None, ...]) -> Tensor:
    shape = table.wholes(_SHAPE)
    signature = table.wholes(_SHAPE_SIGNATURE) or shape
    elements = 1
    for length in shape:
        elements *= max(length, 1)
    if len(shape) > MAX_DIMENSIONS or elements > MAX_ELEMENTS:
        raise table.buffer.error(f"tensor {shown(name)} has a shape that is larger than any array can be", table.at)
    number = table.whole(_BUFFER, U32)
    if number >= len(buffers) and number:
        reason = f"tensor {shown(name)} lies in buffer {number:,}, and there are {len(buffers):,}"
        raise table.buffer.error(reason, table.at)
    data = buffers[number] if number else None
    if data is not None and min(shape, default=0) < 0:
        raise table.buffer.error(f"the constant {shown(name)} has the shape {list(shape)}", table.at)
    is_ranked = bool(signature) or bool(table.number(_HAS_RANK, BOOL)) or table.vector(_SHAPE, 4) is not None
    return Tensor(
        table=table,
        name=name,
        shape=shape,
        open_shape=tuple(None if length < 0 else length for length in signature) if is_ranked else None,
        type=table.whole(_TYPE, I8),
        data=data if data is not None and (data.length or 0 in shape) else None,  # else the runtime makes room
        is_external=bool(table.whole(_EXTERNAL_BUFFER, U32)),
    )
