"""Operations whose one job is to compute weights from codes: recognised, and turned into tensors."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import BlockTensor, Quantization, dtype
from diffai_load_coreml.recipes import Affine, Lookup, Sparse
from diffai_load_coreml.stored import KINDS, Stored, bits_of
from diffai_load_coreml.tensors import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef
    from diffai_load_coreml.recipes import Recipe

MAX_TABLE = 1 << 22
"""Most scales, or values of tables, that are held in memory."""

_FLOATS = frozenset({"float16", "float32", "bfloat16", "float64"})


def compressed(op: str, parts: Mapping[str, Stored], numbers: Mapping[str, Any]) -> Callable[[str], TensorRef] | None:
    """Return what makes a tensor of a compressed weight, given its name; ``None`` if this is none.

    Args:
        op: The operation.
        parts: Its constant arguments with elements in a file.
        numbers: Its constant arguments as plain values.
    """
    reader = _OPERATIONS.get(op)
    if reader is None:
        return None
    return reader(parts, numbers)


def quantized_weight(
    codes: Stored, scale: Stored, offset: Stored | None, axis: int
) -> Callable[[str], TensorRef] | None:
    """Return what makes a tensor of ``codes * scale + offset``, as neural networks keep them.

    Args:
        codes: The codes, in the shape of the weight.
        scale: One scale, or one for each index of ``axis``.
        offset: As many offsets, or ``None``.
        axis: The dimension along which scales differ.
    """
    scale_along = _along(scale, codes.shape, axis)
    offset_along = None if offset is None else _along(offset, codes.shape, axis)
    if scale_along is None or (offset is not None and offset_along is None):
        return None
    return _affine(codes, scale_along, offset_along, codes.shape, "float32", adds=True)


def looked_up_weight(codes: Stored, table: Stored) -> Callable[[str], TensorRef] | None:
    """Return what makes a tensor of ``table[codes]``, as neural networks keep them."""
    return _lookup(codes, table, codes.shape)


def _shift_scale(parts: Mapping[str, Stored], _: Mapping[str, Any]) -> Callable[[str], TensorRef] | None:
    data, scale, offset = parts.get("data"), parts.get("scale"), parts.get("offset")
    if data is None or scale is None or not set(parts) <= {"data", "scale", "offset"}:
        return None
    return _affine(data, scale, offset, data.shape, scale.code)


def _affine_dequantize(parts: Mapping[str, Stored], numbers: Mapping[str, Any]) -> Callable[[str], TensorRef] | None:
    data, scale, zero = parts.get("quantized_data"), parts.get("scale"), parts.get("zero_point")
    axis = numbers.get("axis", 0)
    if data is None or scale is None or zero is None or not isinstance(axis, int):
        return None
    scale_along, zero_along = _along(scale, data.shape, axis), _along(zero, data.shape, axis)
    if scale_along is None or zero_along is None:
        return None
    return _affine(data, scale_along, zero_along, data.shape, scale.code)


def _lut_to_dense(parts: Mapping[str, Stored], numbers: Mapping[str, Any]) -> Callable[[str], TensorRef] | None:
    codes, table = parts.get("indices"), parts.get("lut")
    if codes is None or table is None or not table.shape:
        return None
    if "shape" not in numbers and "shape" not in parts:
        if len(table.shape) != len(codes.shape) + 2 or table.shape[-1] != 1:
            return None
        return _lookup(codes, table._replace(shape=table.shape[:-1]), codes.shape)
    shape = _shape(numbers.get("shape"))
    bits = table.numel.bit_length() - 1
    code = {1: "uint1", 2: "uint2", 4: "uint4", 6: "uint6", 8: "uint8"}.get(bits)
    if shape is None or code is None or len(table.shape) != 1 or table.numel != 1 << bits:
        return None
    unpacked = codes._replace(code=code, shape=shape)
    return _lookup(unpacked, table, shape) if unpacked.nbytes == codes.nbytes else None


def _sparse_to_dense(parts: Mapping[str, Stored], numbers: Mapping[str, Any]) -> Callable[[str], TensorRef] | None:
    values, mask = parts.get("nonzero_data"), parts.get("mask")
    if values is None or mask is None or values.code not in KINDS or bits_of(values.code) not in {8, 16, 32, 64}:
        return None
    if "shape" in numbers:
        shape = _shape(numbers["shape"])
        if shape is None or -(-math.prod(shape) // 8) != mask.nbytes:
            return None
        mask = mask._replace(code="uint1", shape=shape)
    if mask.code != "uint1":
        return None
    from_mask = mask

    def make(name: str) -> TensorRef:
        recipe = Sparse(from_mask, values, values.code)
        kind = KINDS[values.code].name
        return _tensor(
            name,
            recipe,
            from_mask.shape,
            Quantization(
                scheme=f"sparse_{kind}",
                bits=values.bits,
                stored=(tensor_of(values, name), _raw(from_mask, f"{name}:mask")),
            ),
        )

    return make


def _shape(value: Any) -> tuple[int, ...] | None:
    whole = isinstance(value, list) and all(isinstance(length, int) and 0 < length < 1 << 40 for length in value)
    return tuple(value) if whole and len(value) <= 64 and math.prod(value) < 1 << 60 else None  # noqa: PLR2004 - NumPy's limit


def _along(part: Stored, shape: tuple[int, ...], axis: int) -> Stored | None:
    """Return a row of scales with the shape that spreads it along ``axis``; ``None`` if it does not fit."""
    if part.numel == 1:
        return part._replace(shape=(1,) * len(shape))
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis < len(shape) or len(part.shape) != 1 or part.numel != shape[axis]:
        return None
    return part._replace(shape=tuple(part.numel if place == axis else 1 for place in range(len(shape))))


def _affine(
    codes: Stored, scale: Stored, offset: Stored | None, shape: tuple[int, ...], kind: str, *, adds: bool = False
) -> Callable[[str], TensorRef] | None:
    parts = [scale] if offset is None else [scale, offset]
    if kind not in _FLOATS or not all(_divides(part, shape) for part in parts):
        return None

    def make(name: str) -> TensorRef:
        stored = [_raw(codes, name), tensor_of(scale, f"{name}:scale")]
        if offset is not None:
            stored.append(tensor_of(offset, f"{name}:offset"))
        group, axis = _granularity(scale.shape, shape)
        scheme = f"{codes.code}_{'linear' if adds else 'affine' if offset is not None else 'symmetric'}"
        found = Quantization(scheme=scheme, bits=codes.bits, stored=tuple(stored), group_size=group, axis=axis)
        return _tensor(name, Affine(codes, scale, offset, KINDS[kind].name, adds), shape, found)

    return make


def _lookup(codes: Stored, table: Stored, shape: tuple[int, ...]) -> Callable[[str], TensorRef] | None:
    blocks = table._replace(shape=table.shape[:-1])
    fits = not blocks.shape or (len(blocks.shape) == len(shape) and _divides(blocks, shape))
    if table.code not in _FLOATS or table.numel > MAX_TABLE or not table.numel or not fits:
        return None

    def make(name: str) -> TensorRef:
        stored = (_raw(codes, name), tensor_of(table, f"{name}:table"))
        found = Quantization(scheme=f"lut{codes.bits}", bits=codes.bits, stored=stored)
        return _tensor(name, Lookup(codes, table, KINDS[table.code].name), shape, found)

    return make


def _divides(part: Stored, shape: tuple[int, ...]) -> bool:
    wide = (1,) * (len(shape) - len(part.shape)) + part.shape
    fits = len(wide) == len(shape) and all(
        n_blocks and length % n_blocks == 0 for n_blocks, length in zip(wide, shape, strict=True)
    )
    return fits and part.numel <= MAX_TABLE and part.code in KINDS


def _granularity(scale: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int | None, int | None]:
    """Return group size and axis: of scales for blocks of one dimension, for an axis, or for all."""
    wide = (1,) * (len(shape) - len(scale)) + scale
    along = [place for place, n_blocks in enumerate(wide) if n_blocks > 1]
    groups = [shape[place] // wide[place] for place in along if wide[place] != shape[place]]
    if len(along) == 1 and not groups:
        return None, along[0]
    return (groups[0] if len(groups) == 1 else None), None


def _raw(stored: Stored, name: str) -> TensorRef:
    """Return stored codes as a tensor that the core can compare byte by byte."""
    found = tensor_of(stored, name)
    return found if found.quantization is None else found.quantization.stored[0]


def _tensor(name: str, recipe: Recipe, shape: tuple[int, ...], quantization: Quantization) -> TensorRef:
    return BlockTensor(
        name=name,
        shape=shape,
        dtype=dtype(recipe.kind),
        quantization=quantization,
        open_blocks=partial(_blocks, recipe, shape),
        shared_storage=tuple(part.storage for part in quantization.stored),
    )


def _blocks(recipe: Recipe, shape: tuple[int, ...], max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_coreml.decoding import recipe_blocks

    return recipe_blocks(recipe, shape, max_bytes)


_OPERATIONS: dict[str, Callable[[Mapping[str, Stored], Mapping[str, Any]], Callable[[str], TensorRef] | None]] = {
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_blockwise_shift_scale": _shift_scale,
    "constexpr_lut_to_dense": _lut_to_dense,
    "constexpr_sparse_to_dense": _sparse_to_dense,
}
