"""The parameters by which stored codes become numbers: one scale, a scale along an axis, or a scale for each block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import FileTensor, dtype, shown
from diffai_load_tflite.flatbuffer import I32, U8, Vector
from diffai_load_tflite.types import element_type
from diffai_load_tflite.wording import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffai_core.plugin import LoadError
    from diffai_load_tflite.flatbuffer import Table
    from diffai_load_tflite.model import Tensor

_MIN, _MAX, _SCALE, _ZERO_POINT, _DETAILS_TYPE, _DETAILS, _DIMENSION = range(7)
_CUSTOM, _BLOCKWISE = 1, 2


class Scales(NamedTuple):
    """Scales and zero points of a tensor, and which elements each holds for.

    Args:
        scale: In the file; ``float32``, of a blockwise tensor also ``float16`` or ``bfloat16``.
        zero_point: In the file; ``None`` where all are 0.
        repeat: Consecutive elements with one scale, in row-major order; after the last scale comes the first again.
        axis: Dimension along which scales differ.
        block: Elements in a block of a row.
    """

    scale: FileTensor
    zero_point: FileTensor | None
    repeat: int
    axis: int | None = None
    block: int | None = None


def scales_of(tensor: Tensor, tensors: Sequence[Tensor]) -> Scales | None:
    """Return how the elements of a constant are computed from its codes; ``None`` if they are stored as they are.

    Args:
        tensor: The constant.
        tensors: All tensors of its subgraph.

    Raises:
        LoadError: If the parameters do not fit the shape.
    """
    table = tensor.quantization
    kind = element_type(tensor.type)
    if table is None or kind is None or kind.kind not in {"int", "uint"}:
        return None
    if table.whole(_DETAILS_TYPE, U8) == _BLOCKWISE:
        return _blockwise(tensor, table, tensors)
    scale = table.vector(_SCALE, 4)
    return _affine(tensor, table, scale) if scale and scale.length else None


def _affine(tensor: Tensor, table: Table, scale: Vector) -> Scales:
    zero = table.vector(_ZERO_POINT, 8)
    zero_count = zero.length if zero else 0
    if zero_count not in {0, scale.length}:
        raise _misfit(tensor, f"{scale.length:,} scales and {zero_count:,} zero points")
    scales = _stored(tensor, "scale", "float32", scale)
    zeros = _stored(tensor, "zero_point", "int64", zero) if zero and zero.length else None
    if scale.length == 1:
        return Scales(scales, zeros, 1)
    axis = table.whole(_DIMENSION)
    if not 0 <= axis < len(tensor.shape) or tensor.shape[axis] != scale.length:
        raise _misfit(tensor, f"{scale.length:,} scales along dimension {axis} of {list(tensor.shape)}")
    repeat = 1
    for length in tensor.shape[axis + 1 :]:
        repeat *= length
    return Scales(scales, zeros, max(repeat, 1), axis)


def _blockwise(tensor: Tensor, table: Table, tensors: Sequence[Tensor]) -> Scales:
    """Return the scales of blocks of consecutive elements; they are tensors of their own."""
    details = table.table(_DETAILS)
    if details is None:
        raise _misfit(tensor, "blocks that are not described")
    indexes, block = (details.whole(0), details.whole(1)), details.whole(2)
    scale, zero = (tensors[index] if 0 <= index < len(tensors) else None for index in indexes)
    n_elements = 1
    for length in tensor.shape:
        n_elements *= length
    n_blocks = n_elements // block if block > 0 and n_elements % block == 0 else 0
    kind = element_type(scale.type) if scale else None
    if not scale or not scale.data or kind is None or kind.kind != "float" or not n_blocks:
        raise _misfit(tensor, f"blocks of {block:,} elements")
    if scale.data.length * 8 != n_blocks * kind.bits:
        raise _misfit(tensor, f"{scale.data.length * 8 // kind.bits:,} scales for {n_blocks:,} blocks")
    file = table.buffer.file
    scales = FileTensor(name=scale.name, shape=(n_blocks,), dtype=kind, file=file, offset=scale.data.start)
    return Scales(scales, _zero_points(zero, tensor, scale, n_blocks), block, len(tensor.shape) - 1, block)


def _zero_points(zero: Tensor | None, tensor: Tensor, scale: Tensor, n_blocks: int) -> FileTensor | None:
    """Return the zero points of blocks; an index of 0 mostly means that there are none."""
    kind = element_type(zero.type) if zero else None
    if zero is None or zero in {tensor, scale} or not zero.data or kind is None or kind.kind != "int":
        return None
    if kind.bits % 8 or zero.data.length * 8 != n_blocks * kind.bits:
        return None
    return FileTensor(
        name=zero.name, shape=(n_blocks,), dtype=kind, file=zero.table.buffer.file, offset=zero.data.start
    )


def _stored(tensor: Tensor, what: str, type_: str, vector: Vector) -> FileTensor:
    file = tensor.table.buffer.file
    return FileTensor(
        name=f"{tensor.name}.{what}", shape=(vector.length,), dtype=dtype(type_), file=file, offset=vector.start
    )


def _misfit(tensor: Tensor, what: str) -> LoadError:
    table = tensor.table
    return table.buffer.error(
        f"the quantisation of tensor {shown(tensor.name)} has {what}, which does not fit", table.at
    )


def described(tensor: Tensor, *, constant: bool) -> dict[str, Any]:
    """Return the parameters of a tensor's quantisation that are to be compared as plain values.

    Of a constant that is dequantised these are only the range that was observed and custom details: scales and zero
    points are compared with it.

    Args:
        tensor: Any tensor.
        constant: Whether scales and zero points are compared elsewhere.
    """
    table = tensor.quantization
    if table is None:
        return {}
    found: dict[str, Any] = {"min": list(table.numbers(_MIN, "f")), "max": list(table.numbers(_MAX, "f"))}
    if not constant:
        found["scale"] = list(table.numbers(_SCALE, "f"))
        found["zero_point"] = list(table.numbers(_ZERO_POINT, "q")) if found["scale"] else []
        found["axis"] = table.whole(_DIMENSION, I32) if len(found["scale"]) > 1 else []
    details = table.table(_DETAILS) if table.whole(_DETAILS_TYPE, U8) == _CUSTOM else None
    found["custom"] = plain(details.raw(0)) if details else []
    return {key: value for key, value in found.items() if value != []}
