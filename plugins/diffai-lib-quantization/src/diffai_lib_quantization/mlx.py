"""Recognises the weights of MLX by ``X.biases``: unsigned codes, and for each group a scale and what is added."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffai_lib_quantization.tensor import FLOATS, MAX_COLUMNS, Found, Parts, Scheme, integer, logical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import FileTensor, TensorRef

_BITS = (2, 3, 4, 5, 6, 8)


def find(tensors: Mapping[str, TensorRef], name: str, config: Mapping[str, Any] | None) -> Found | None:
    """Return the weight to which ``name`` (``X.biases``) belongs; only the configuration tells its bits."""
    from diffai_lib_quantization.rows import Rows

    parts = Parts(tensors, name.removesuffix("biases"))
    layer = (config or {}).get(parts.prefix.removesuffix("."))
    settings = layer if isinstance(layer, dict) else config
    bits, group_size = integer(settings, "bits"), integer(settings, "group_size")
    weight, scales, biases = parts.get("weight", "uint32"), parts.get("scales", *FLOATS), parts.get("biases", *FLOATS)
    if weight is None or scales is None or biases is None or scales.shape != biases.shape or not weight.shape[1:]:
        return None
    if bits not in _BITS or group_size is None or group_size < 1 or (settings or {}).get("mode", "affine") != "affine":
        return None
    n_columns, rest = divmod(weight.shape[-1] * 32, bits)
    groups = (*weight.shape[:-1], n_columns // group_size)
    if rest or 0 in (*weight.shape, n_columns) or n_columns % group_size or scales.shape != groups:
        return None
    if n_columns > MAX_COLUMNS:
        return None
    flat = _matrix(weight)
    decoder = Rows(
        flat, (flat.shape[0], n_columns), "uint", bits, _matrix(scales), (1, group_size), bias=_matrix(biases)
    )
    shape = (*weight.shape[:-1], n_columns)
    return logical(weight.name, shape, decoder, Scheme(f"mlx_int{bits}", bits, group_size), (weight, scales, biases))


def _matrix(ref: FileTensor) -> FileTensor:
    """Return a stack of matrices as one matrix."""
    return replace(ref, shape=(ref.numel // ref.shape[-1], ref.shape[-1]))
