"""Finds the weights that a model stores as integers, for nodes that dequantise them."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import BlockTensor, Quantization
from diffai_load_onnx.schema import ELEMENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import TensorRef
    from diffai_load_onnx.contents import Contents, Use

MAX_SCALE_BYTES = 64 << 20
"""Most bytes of scales and zero points of one tensor; with more it is compared by its codes."""

_FLOAT_DTYPES = frozenset({"float32", "float16", "bfloat16", "float64"})
_WEIGHT_SUFFIXES = ("_quantized", "_quant", "_int8", "_uint8", "_int4", "_uint4", "_q")
_OUTPUT_SUFFIXES = ("_DequantizeLinear_Output", "_DequantizeLinear", "_dequantized", "_dequant", "_dq")


_DEQUANTIZE = frozenset({"DequantizeLinear", "com.microsoft::DequantizeLinear"})
_COMPUTE = {
    "QLinearConv": ((3, 0),),
    "QLinearMatMul": ((0, -2), (3, -1)),
    "com.microsoft::QLinearAdd": ((0, 0), (3, 0)),
    "com.microsoft::QLinearMul": ((0, 0), (3, 0)),
}
"""Operators that take codes, scale and zero point in a row: from which input on, and along which axis scales differ."""


class Layout(NamedTuple):
    """Which scale belongs to which element.

    Args:
        axis: Dimension along which scales differ; ``None`` for a single one.
        group_size: Consecutive elements along the axis that share one; 0 if each index has its own.
    """

    axis: int | None
    group_size: int


class Parts(NamedTuple):
    """The stored parts of a quantised tensor, and how they belong together."""

    codes: TensorRef
    scales: TensorRef
    zero_points: TensorRef | None
    layout: Layout

    @property
    def stored(self) -> tuple[TensorRef, ...]:
        """Those that are there, in this order."""
        parts = (self.codes, self.scales, self.zero_points)
        return tuple(part for part in parts if part is not None)


def dequantizing(op: str, use: Use) -> list[Use]:
    """Return what a node dequantises: its codes, scales and zero points."""
    if op in _DEQUANTIZE:
        return [use]
    return [
        use._replace(inputs=use.inputs[first : first + 3], attributes={"axis": axis}, gives_it=False)
        for first, axis in _COMPUTE.get(op, ())
    ]


def with_dequantized(contents: Contents) -> dict[str, TensorRef]:
    """Return all tensors; those that are dequantised before they are used stand for what dequantising gives.

    Their scales and zero points are parts of them, and no tensors of their own unless something else uses them.
    """
    by_codes: dict[str, list[tuple[Use, Parts]]] = {}
    for use in contents.dequantized:
        parts = _parts(use, contents)
        if parts is not None:
            by_codes.setdefault(parts.codes.name, []).append((use, parts))
    agreed = {key: uses[0] for key, uses in by_codes.items() if _agree(uses)}
    names = _names(agreed, contents.tensors)
    hidden = _only_parts(agreed, contents)
    tensors: dict[str, TensorRef] = {}
    for key, ref in contents.tensors.items():
        if key in agreed:
            use, parts = agreed[key]
            tensors[names[key]] = _dequantized(names[key], use, parts)
        elif key not in hidden:
            tensors[key] = ref
    return tensors


def _parts(use: Use, contents: Contents) -> Parts | None:
    """Return codes, scales and zero points of a node, if all of them are in the file and fit together."""
    keys = [use.scope.key_of(name) if name else None for name in use.inputs]
    refs = [contents.tensors.get(key) if key else None for key in keys]
    if len(refs) < 2 or refs[0] is None or refs[1] is None or (any(use.inputs[2:]) and refs[2] is None):  # noqa: PLR2004 - codes and scales
        return None
    codes, scales = refs[0], refs[1]
    zero_points = refs[2] if len(refs) > 2 else None  # noqa: PLR2004 - codes, scales, zero points
    layout = _layout(codes.shape, scales.shape, use.attributes)
    fits = zero_points is None or zero_points.shape == scales.shape or zero_points.numel == scales.numel == 1
    if layout is None or not fits or scales.dtype.name not in _FLOAT_DTYPES or codes.dtype.kind in {"complex", "bool"}:
        return None
    if scales.nbytes + (zero_points.nbytes if zero_points else 0) > MAX_SCALE_BYTES:
        return None
    return Parts(codes, scales, zero_points, layout)


def _layout(shape: tuple[int, ...], scale_shape: tuple[int, ...], attributes: Mapping[str, Any]) -> Layout | None:
    if math.prod(scale_shape) == 1 and len(scale_shape) <= 1:
        return Layout(None, 0)
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if not isinstance(axis, int) or not isinstance(block, int) or not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    if not block:
        return Layout(axis, 0) if scale_shape == (shape[axis],) else None
    if block < 0 or scale_shape != (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :]):
        return None
    return Layout(axis, block)


def _agree(uses: list[tuple[Use, Parts]]) -> bool:
    """Whether all nodes that dequantise a tensor do it alike."""
    (use, parts), *others = uses
    wanted = ([part.name for part in parts.stored], parts.layout, use.attributes.get("output_dtype"))
    return all(
        ([part.name for part in more.stored], more.layout, other.attributes.get("output_dtype")) == wanted
        for other, more in others
    )


def _names(agreed: Mapping[str, tuple[Use, Parts]], tensors: Mapping[str, TensorRef]) -> dict[str, str]:
    """Return names for what dequantising gives, as the tensors were called before: each is given once."""
    taken = set(tensors)
    names = {}
    for key, (use, _) in agreed.items():
        wanted = _original_name(key, use)
        names[key] = key if wanted in taken else wanted
        taken.add(names[key])
    return names


def _original_name(key: str, use: Use) -> str:
    """Return what the weight is called in a model that is not quantised.

    Quantisers leave its name to what dequantising gives (``B`` for ``B_quantized``), or put endings to it
    (``W_DequantizeLinear_Output`` for ``W_quantized``).
    """
    plain_key = _without(key, _WEIGHT_SUFFIXES)
    if not use.gives_it:
        return plain_key
    output = use.scope.path + use.output
    plain_output = _without(output, _OUTPUT_SUFFIXES)
    if plain_key in {output, plain_output}:
        return plain_key
    if plain_output != output and key.startswith(plain_output):
        return plain_output
    return output if key.startswith(f"{output}_") else plain_key


def _without(name: str, suffixes: tuple[str, ...]) -> str:
    for suffix in suffixes:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return name


def _only_parts(agreed: Mapping[str, tuple[Use, Parts]], contents: Contents) -> set[str]:
    """Return the keys of scales and zero points that nothing uses but the dequantising of one tensor."""
    parts = {part.name for _, found in agreed.values() for part in found.stored[1:]}
    wanted = {(id(use.scope), use.output) for use, _ in agreed.values()}
    elsewhere = {
        key
        for use in contents.uses
        if (id(use.scope), use.output) not in wanted
        for name in use.inputs
        if (key := use.scope.key_of(name)) in parts
    }
    return parts - elsewhere


def _dequantized(name: str, use: Use, parts: Parts) -> TensorRef:
    code = use.attributes.get("output_dtype", 0)
    dtype = ELEMENT_TYPES[code].dtype if code in ELEMENT_TYPES else parts.scales.dtype
    kind = parts.codes.dtype
    suffix = "scaled" if kind.kind == "float" else "affine" if parts.zero_points is not None else "symmetric"
    axis, group_size = parts.layout
    return BlockTensor(
        name=name,
        shape=parts.codes.shape,
        dtype=dtype,
        quantization=Quantization(
            scheme=f"{kind}_{suffix}",
            bits=kind.bits,
            stored=parts.stored,
            group_size=group_size or None,
            axis=None if group_size else axis,
        ),
        open_blocks=partial(_open_blocks, parts, dtype.name),
        shared_storage=("dequantized", *(part.storage for part in parts.stored)),
    )


def _open_blocks(parts: Parts, dtype_name: str, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_load_onnx.dequantize import dequantized_blocks

    return dequantized_blocks(parts, dtype_name, max_bytes)
