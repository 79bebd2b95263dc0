"""Recognises GPTQ and AWQ by ``X.qweight`` and what stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_quantization.tensor import FLOATS, MAX_COLUMNS, Found, Parts, Scheme, integer, logical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import FileTensor, TensorRef

_GPTQ_BITS = (2, 3, 4, 8)
_AWQ_BITS = 4
_PEEK_BYTES = 4096
_VERSIONS = {"gptq": 1, "gptq_v2": 0}
"""What each version of the format adds to a stored zero point."""


def find(tensors: Mapping[str, TensorRef], name: str, config: Mapping[str, Any] | None) -> Found | None:
    """Return the weight of which ``name`` (``X.qweight``) holds the codes."""
    parts = Parts(tensors, name.removesuffix("qweight"))
    qweight, qzeros = parts.get("qweight", "int32", ndim=2), parts.get("qzeros", "int32", ndim=2)
    scales = parts.get("scales", *FLOATS, ndim=2)
    if qweight is None or qzeros is None or scales is None or 0 in (*qweight.shape, *qzeros.shape, *scales.shape):
        return None
    method = (config or {}).get("quant_method")
    if method != "awq" and qweight.shape[1] == scales.shape[1]:
        return _find_gptq(parts, (qweight, qzeros, scales), config)
    if method != "gptq" and qweight.shape[1] * 32 // _AWQ_BITS == scales.shape[1]:
        return _find_awq(parts, (qweight, qzeros, scales), config)
    return None


def _find_gptq(
    parts: Parts, core: tuple[FileTensor, FileTensor, FileTensor], config: Mapping[str, Any] | None
) -> Found | None:
    from diffai_lib_quantization.columns import Gptq

    qweight, qzeros, scales = core
    g_idx = parts.get("g_idx", "int32", ndim=1)
    n_groups, n_out = scales.shape
    bits = _bits(qweight, g_idx, config)
    if bits not in _GPTQ_BITS or qweight.shape[0] % bits or ("g_idx" in parts and g_idx is None):
        return None
    n_in = qweight.shape[0] * 32 // bits
    if qzeros.shape != (n_groups, -(-n_out * bits // 32)) or n_out % 32 or n_in > MAX_COLUMNS:
        return None
    if g_idx is None and ((config or {}).get("desc_act") or not _has_equal_groups(n_in, n_groups, config)):
        return None
    offset = _zero_offset(qzeros, bits, config)
    if offset is None:
        return None
    decoder = Gptq(qweight, qzeros, scales, g_idx, bits, offset)
    scheme = Scheme("gptq" if offset else "gptq_v2", bits, -(-n_in // n_groups))
    stored = (qweight, qzeros, scales, *([g_idx] if g_idx else []))
    return logical(f"{parts.prefix}weight", (n_out, n_in), decoder, scheme, stored)


def _has_equal_groups(n_in: int, n_groups: int, config: Mapping[str, Any] | None) -> bool:
    """Whether each group has equally many inputs, as many as the configuration says where it says so."""
    size = integer(config, "group_size") or integer(config, "q_group_size")
    return n_in % n_groups == 0 and (size is None or size < 1 or n_groups == 1 or size * n_groups == n_in)


def _bits(qweight: FileTensor, g_idx: FileTensor | None, config: Mapping[str, Any] | None) -> int | None:
    """Return the bits of a code: by the number of inputs where that is known, as layers may differ."""
    if g_idx is None:
        return integer(config, "bits")
    n_bits = qweight.shape[0] * 32
    return n_bits // g_idx.shape[0] if g_idx.shape[0] and n_bits % g_idx.shape[0] == 0 else None


def _zero_offset(qzeros: FileTensor, bits: int, config: Mapping[str, Any] | None) -> int | None:
    """Return what is added to a stored zero point: as configured, or as symmetric zero points show; else ``None``."""
    if config is not None and (config.get("quant_method") == "gptq" or "desc_act" in config):
        version = config.get("checkpoint_format") or config.get("format") or "gptq"
        return _VERSIONS.get(version) if isinstance(version, str) else None
    from diffai_lib_quantization.reading import read_flat, unpacked

    n_words = min(qzeros.numel, _PEEK_BYTES) // bits * bits
    codes = unpacked(read_flat(qzeros, 0, n_words).reshape(1, -1), bits, n_words * 32 // bits)
    middle = 1 << (bits - 1)
    if codes.size and (codes == codes[0, 0]).all():
        return {middle - 1: 1, middle: 0}.get(int(codes[0, 0]))
    return None


def _find_awq(
    parts: Parts, core: tuple[FileTensor, FileTensor, FileTensor], config: Mapping[str, Any] | None
) -> Found | None:
    from diffai_lib_quantization.columns import Awq

    qweight, qzeros, scales = core
    n_groups, n_out = scales.shape
    n_in = qweight.shape[0]
    if qzeros.shape != (n_groups, qweight.shape[1]) or n_in > MAX_COLUMNS or "g_idx" in parts:
        return None
    if not _has_equal_groups(n_in, n_groups, config):
        return None
    if config is not None and not _is_awq_gemm(config):
        return None
    scheme = Scheme("awq", _AWQ_BITS, n_in // n_groups)
    return logical(f"{parts.prefix}weight", (n_out, n_in), Awq(qweight, qzeros, scales), scheme, core)


def _is_awq_gemm(config: Mapping[str, Any]) -> bool:
    version, bits = config.get("version", "gemm"), config.get("bits", _AWQ_BITS)
    return isinstance(version, str) and version.lower() == "gemm" and bits == _AWQ_BITS
