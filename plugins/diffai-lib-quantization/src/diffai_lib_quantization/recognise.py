"""Finds quantised weights among the tensors of a checkpoint and puts logical tensors in their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_quantization import bitsandbytes, gptq, mlx, scaled_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffai_core.plugin import TensorRef
    from diffai_lib_quantization.tensor import Found

    Finder = Callable[[Mapping[str, TensorRef], str, Mapping[str, Any] | None], Found | None]


def recognised(tensors: Mapping[str, TensorRef], config: Mapping[str, Any] | None = None) -> dict[str, TensorRef]:
    """Return ``tensors`` with each quantised weight in place of the parts it is stored in.

    A logical weight has the name and the shape it has in the float model, float32 values that are computed some rows at
    a time, and its parts as ``quantization.stored``. What cannot be recognised without a guess stays as it is.

    Args:
        tensors: The tensors of a checkpoint; only parts that lie in files (``FileTensor``) are recognised.
        config: ``quantization_config`` of the model's ``config.json``, or what stands for it.

    Raises:
        LoadError: If a description of a few bytes that is stored as a tensor cannot be read.
    """
    by_part: dict[str, Found] = {}
    by_name: set[str] = set()
    for name in tensors:
        found = _find(tensors, name, config)
        if found is not None and found.ref.name not in by_name and _is_free(found, tensors, by_part):
            by_part.update(dict.fromkeys(found.parts, found))
            by_name.add(found.ref.name)
    result: dict[str, TensorRef] = {}
    for name, ref in tensors.items():
        whole = by_part.get(name)
        if whole is None:
            result[name] = ref
        else:
            result.setdefault(whole.ref.name, whole.ref)
    return result


def _find(tensors: Mapping[str, TensorRef], name: str, config: Mapping[str, Any] | None) -> Found | None:
    if name.endswith(".qweight"):
        return gptq.find(tensors, name, config)
    if ".quant_state.bitsandbytes__" in name:
        return bitsandbytes.find_4bit(tensors, name)
    if name.endswith(".biases"):
        return mlx.find(tensors, name, config)
    if name.endswith(".SCB"):
        return bitsandbytes.find_8bit(tensors, name)
    for suffix, finder in scaled_weights.FINDERS.items():
        if name.endswith(suffix):
            return finder(tensors, name, config)
    return None


def _is_free(found: Found, tensors: Mapping[str, TensorRef], by_part: Mapping[str, Found]) -> bool:
    """Whether neither the name nor a part of a weight is that of something else."""
    taken = found.ref.name in tensors and found.ref.name not in found.parts
    return not taken and by_part.keys().isdisjoint(found.parts)
