"""Recognises weights that stand beside their scales: compressed-tensors, FP8, MXFP4, NVFP4, torchao."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_lib_quantization.tensor import FLOATS, FLOATS8, MAX_COLUMNS, Found, Parts, Scheme, integer, logical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffai_core.plugin import FileTensor, TensorRef

    Config = Mapping[str, Any]

_BLOCK = 128
"""Rows and columns of a tile of DeepSeek's FP8 weights, where the configuration does not tell."""
_MX_GROUP = 32
_NV_GROUP = 16
_MAX_BITS = 8
_PICKLED = ".__args__.3"
"""Where a pickled tensor subclass has its tensors: in the fourth argument of the function that builds it again."""


def find_packed(tensors: Mapping[str, TensorRef], name: str, config: Config | None) -> Found | None:
    """Return the weight of which ``name`` (``X.weight_packed``) holds the codes of compressed-tensors."""
    parts = Parts(tensors, name.removesuffix("weight_packed"))
    if parts.get("weight_packed", "uint8", ndim=2) is not None:
        return _find_float4(parts)
    packed = parts.get("weight_packed", "int32", ndim=2)
    shape_part = parts.get("weight_shape", "int64", "int32", ndim=1)
    scale = parts.get("weight_scale", *FLOATS)
    if packed is None or shape_part is None or scale is None or shape_part.shape != (2,):
        return None
    n_rows, n_columns = _numbers(shape_part)
    tile = _tile((n_rows, n_columns), scale.shape, None)
    if n_rows != packed.shape[0] or not 0 < n_columns <= MAX_COLUMNS or not n_rows or tile is None or tile[0] != 1:
        return None
    bits = _packed_bits(packed.shape[1], n_columns, config)
    return None if bits is None else _packed(parts, (packed, scale, shape_part), (n_rows, n_columns), tile, bits)


def _packed(
    parts: Parts,
    core: tuple[FileTensor, FileTensor, FileTensor],
    shape: tuple[int, int],
    tile: tuple[int, int],
    bits: int,
) -> Found | None:
    from diffai_lib_quantization.rows import Rows

    packed, scale, shape_part = core
    zero, g_idx = parts.get("weight_zero_point", "int32", ndim=2), parts.get("weight_g_idx", "int32", "int64", ndim=1)
    n_groups = scale.shape[1] if len(scale.shape) > 1 else 1
    if "weight_zero_point" in parts and (zero is None or zero.shape != (-(-shape[0] * bits // 32), n_groups)):
        return None
    if "weight_g_idx" in parts and (g_idx is None or g_idx.shape != (shape[1],)):
        return None
    decoder = Rows(packed, shape, "int", bits, scale, tile, zero, zero is not None, g_idx)
    stored = (packed, scale, shape_part, *(part for part in (zero, g_idx) if part is not None))
    scheme = Scheme(f"int{bits}_packed", bits, tile[1] if n_groups > 1 else None, 0)
    return logical(f"{parts.prefix}weight", shape, decoder, scheme, stored)


def _packed_bits(n_words: int, n_columns: int, config: Config | None) -> int | None:
    """Return the bits of a code, if the width of a row allows one answer.

    Codes are packed without gaps; older versions of compressed-tensors let no code span two words, which is the same
    for 1, 2, 4 and 8 bits. ``None`` if it could be either way.
    """
    fitting = [bits for bits in range(1, _MAX_BITS + 1) if -(-n_columns * bits // 32) == n_words]
    configured = _configured_bits(config) & set(fitting)
    candidates = configured or set(fitting)
    if len(candidates) != 1:
        return None
    bits = candidates.pop()
    return None if 32 % bits and -(-n_columns // (32 // bits)) == n_words else bits


def _configured_bits(config: Config | None) -> set[int]:
    groups = (config or {}).get("config_groups")
    found: set[int] = set()
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        bits = integer(weights, "num_bits") if isinstance(weights, dict) else None
        if bits is not None:
            found.add(bits)
    return found


def _find_float4(parts: Parts) -> Found | None:
    """Return a weight of 4-bit floats: NVFP4 (scales of 8 bits and one of 32), MXFP4 (powers of two)."""
    from diffai_lib_quantization.rows import Rows

    packed = parts.get("weight_packed", "uint8", ndim=2)
    if packed is None or 0 in packed.shape or packed.shape[1] * 2 > MAX_COLUMNS:
        return None
    if "weight_zero_point" in parts or "weight_g_idx" in parts:  # no float format has them
        return None
    shape = (packed.shape[0], packed.shape[1] * 2)
    fine, power = parts.get("weight_scale", "float8_e4m3fn", ndim=2), parts.get("weight_scale", "uint8", ndim=2)
    whole = parts.get("weight_global_scale", *FLOATS)
    if fine and whole and whole.numel == 1 and _has_groups(shape, fine, _NV_GROUP):
        decoder = Rows(packed, shape, "float4", 4, fine, (1, _NV_GROUP), factor=whole, factor_divides=True)
        return logical(f"{parts.prefix}weight", shape, decoder, Scheme("nvfp4", 4, _NV_GROUP, 0), (packed, fine, whole))
    if power and "weight_global_scale" not in parts and _has_groups(shape, power, _MX_GROUP):
        decoder = Rows(packed, shape, "float4", 4, power, (1, _MX_GROUP))
        return logical(f"{parts.prefix}weight", shape, decoder, Scheme("mxfp4", 4, _MX_GROUP, 0), (packed, power))
    return None


def _has_groups(shape: tuple[int, int], scale: FileTensor, size: int) -> bool:
    """Whether there is a scale for each ``size`` columns."""
    return shape[1] % size == 0 and scale.shape == (shape[0], shape[1] // size)


def find_scaled(tensors: Mapping[str, TensorRef], name: str, config: Config | None) -> Found | None:
    """Return the weight of 8 bits to which ``name`` (``X.weight_scale``, ``X.weight_scale_inv``) belongs.

    Both are multiplied by: DeepSeek's ``weight_scale_inv`` is the inverse of what divided the float weight.
    """
    suffix = name.rpartition(".")[2]
    parts = Parts(tensors, name.removesuffix(suffix))
    if "weight_scale_2" in parts:
        return _find_modelopt(parts)
    weight, scale = parts.get("weight", *FLOATS8, "int8"), parts.get(suffix, *FLOATS)
    if weight is None or scale is None or "weight_g_idx" in parts:  # its groups are no runs of columns
        return None
    if len(weight.shape) > 2:  # noqa: PLR2004 - rows and columns
        return _scaled_filters(weight, scale, parts)
    if len(weight.shape) != 2:  # noqa: PLR2004 - rows and columns
        return None
    return _scaled(parts.prefix + "weight", weight, scale, parts, "weight_zero_point", _configured_tile(config))


def _scaled_filters(weight: FileTensor, scale: FileTensor, parts: Parts) -> Found | None:
    """Return the filters of a convolution with one scale for each, or one for all."""
    from diffai_lib_quantization.rows import Rows

    shape = (weight.shape[0], math.prod(weight.shape[1:]))
    rowwise = scale.shape[:1] == weight.shape[:1] and scale.numel == weight.shape[0]
    if not (rowwise or scale.numel == 1) or "weight_zero_point" in parts or 0 in shape or shape[1] > MAX_COLUMNS:
        return None
    decoder = Rows(weight, shape, "number", 8, scale, (1, shape[1]) if scale.numel > 1 else shape)
    family = "int8" if weight.dtype.name == "int8" else "float8"
    scheme = Scheme(f"{family}_scaled", 8, None, 0 if scale.numel > 1 else None)
    return logical(f"{parts.prefix}weight", weight.shape, decoder, scheme, (weight, scale))


def _find_modelopt(parts: Parts) -> Found | None:
    """Return a weight as NVIDIA's ModelOpt stores NVFP4: as compressed-tensors, but with the inverse whole scale."""
    from diffai_lib_quantization.rows import Rows

    packed, fine = parts.get("weight", "uint8", ndim=2), parts.get("weight_scale", "float8_e4m3fn", ndim=2)
    whole = parts.get("weight_scale_2", *FLOATS)
    if packed is None or fine is None or whole is None or whole.numel != 1 or 0 in packed.shape:
        return None
    shape = (packed.shape[0], packed.shape[1] * 2)
    if shape[1] > MAX_COLUMNS or not _has_groups(shape, fine, _NV_GROUP):
        return None
    decoder = Rows(packed, shape, "float4", 4, fine, (1, _NV_GROUP), factor=whole)
    scheme = Scheme("nvfp4_modelopt", 4, _NV_GROUP, 0)
    return logical(packed.name, shape, decoder, scheme, (packed, fine, whole))


def find_torchao(tensors: Mapping[str, TensorRef], name: str, _config: Config | None) -> Found | None:
    """Return the weight of which ``name`` (``X._weight_qdata``) holds the codes of a tensor subclass of torchao."""
    parts = Parts(tensors, name.removesuffix("qdata"))
    weight, scale = parts.get("qdata", *FLOATS8, "int8", ndim=2), parts.get("scale", *FLOATS)
    if weight is None or scale is None:
        return None
    return _scaled(_torchao_name(name), weight, scale, parts, "zero_point", None)


def _torchao_name(name: str) -> str:
    """Return the name of the weight: of a flattened one in safetensors, or of an object pickled in a checkpoint."""
    if name.endswith("._weight_qdata"):
        return name.removesuffix("_weight_qdata") + "weight"
    return name.removesuffix(".qdata").removesuffix(_PICKLED)


def _scaled(
    name: str, weight: FileTensor, scale: FileTensor, parts: Parts, zero_name: str, tile: tuple[int, int] | None
) -> Found | None:
    from diffai_lib_quantization.rows import Rows

    shape = (weight.shape[0], weight.shape[1])
    found = _tile(shape, scale.shape, tile)
    zero = parts.get(zero_name, "int8", *FLOATS)
    if found is None or 0 in shape or shape[1] > MAX_COLUMNS:
        return None
    if zero_name in parts and (zero is None or zero.shape != scale.shape):
        return None
    decoder = Rows(weight, shape, "number", 8, scale, found, zero)
    family = "int8" if weight.dtype.name == "int8" else "float8"
    kind = "block" if found[0] > 1 and scale.numel > 1 else "scaled"
    if kind == "block" and found != (_BLOCK, _BLOCK):  # the same parts have other values in other tiles
        kind += f"_{found[0]}x{found[1]}"
    group_size = found[1] if found[1] < shape[1] else None
    stored = (weight, scale, *([zero] if zero else []))
    scheme = Scheme(f"{family}_{kind}", 8, group_size, 0 if scale.numel > 1 else None)
    return logical(name, shape, decoder, scheme, stored)


def _tile(shape: tuple[int, int], scale: tuple[int, ...], configured: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the rows and columns that share a scale, if the shape of the scales allows one answer."""
    n_rows, n_columns = shape
    if math.prod(scale) == 1 and len(scale) <= 2:  # noqa: PLR2004 - rows and columns
        return n_rows, n_columns
    if scale == (n_rows,):
        return 1, n_columns
    if len(scale) != 2 or 0 in scale:  # noqa: PLR2004 - rows and columns
        return None
    for tile in ([configured] if configured else []) + [(_BLOCK, _BLOCK)]:
        if scale == (-(-n_rows // tile[0]), -(-n_columns // tile[1])):
            return tile
    if scale[0] == n_rows and n_columns % scale[1] == 0:
        return 1, n_columns // scale[1]
    return None


def _configured_tile(config: Config | None) -> tuple[int, int] | None:
    """Return the tile that the configuration names: ``weight_block_size`` of FP8 models."""
    tile = (config or {}).get("weight_block_size")
    if not isinstance(tile, list) or not all(type(length) is int and length > 0 for length in tile):
        return None
    return (tile[0], tile[1]) if len(tile) == 2 else None  # noqa: PLR2004 - rows and columns


def find_experts(tensors: Mapping[str, TensorRef], name: str, _config: Config | None) -> Found | None:
    """Return the weights of experts of which ``name`` (``X_blocks``) holds 4-bit floats, as gpt-oss stores them."""
    from diffai_lib_quantization.columns import TransposedMxfp4

    parts = Parts(tensors, name.removesuffix("_blocks"))
    blocks, scales = parts.get("_blocks", "uint8", ndim=4), parts.get("_scales", "uint8", ndim=3)
    if blocks is None or scales is None or 0 in blocks.shape or blocks.shape[:3] != scales.shape:
        return None
    n_experts, n_out, n_groups, n_bytes = blocks.shape
    if n_bytes * 2 != _MX_GROUP or n_out > MAX_COLUMNS:
        return None
    shape = (n_experts, n_groups * _MX_GROUP, n_out)
    scheme = Scheme("mxfp4", 4, _MX_GROUP, 2)
    return logical(parts.prefix, shape, TransposedMxfp4(blocks, scales), scheme, (blocks, scales))


def _numbers(ref: FileTensor) -> list[int]:
    """Return the whole numbers of a small tensor."""
    size = ref.dtype.bits // 8
    raw = ref.file.read(ref.offset, ref.nbytes)
    return [int.from_bytes(raw[i : i + size], "little", signed=True) for i in range(0, len(raw), size)]


FINDERS: dict[str, Callable[[Mapping[str, TensorRef], str, Config | None], Found | None]] = {
    ".weight_packed": find_packed,
    ".weight_scale": find_scaled,
    ".weight_scale_inv": find_scaled,
    "._weight_qdata": find_torchao,
    ".qdata": find_torchao,
    "_blocks": find_experts,
}
"""By the end of the name of the part that each layout is recognised by."""
