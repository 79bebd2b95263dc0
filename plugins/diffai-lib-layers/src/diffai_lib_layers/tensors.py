"""What shapes and neighbours tell about tensors beyond their names; tensors as matrices."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffai_lib_layers.names import Place, place
from diffai_lib_layers.words import PARTS, RUNNING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import TensorRef

_MATRIX = 2
_CONVOLUTION = 3
_STACKED = 3
_MASK = 4
"""Dimensions of what GPT-2 calls the bias of its attention: the causal mask."""

_CONV1D_OUT_FIRST = {"c_attn": True, "c_fc": True, "q_attn": False, "c_proj": False}
"""Layers of GPT-2 and whether they have more outputs than inputs; ``c_proj`` of its feed-forward part has fewer."""

_DENSE_ROLES = frozenset({"mlp", "other"})
_FEED_FORWARD_ROLES = frozenset({"up", "down", "gate"})
_NEVER_DENSE = frozenset({"norm", "bn", "scale", "position"})


@dataclass(frozen=True)
class _Module:
    """The tensors of one layer by the last word of their names."""

    parts: Mapping[str, TensorRef]

    @property
    def is_batch_norm(self) -> bool:
        return any(PARTS.get(part.lower()) in RUNNING for part in self.parts)

    def weight(self) -> TensorRef | None:
        """The weight, if the layer names one so."""
        return next((ref for part, ref in self.parts.items() if part in {"weight", "kernel"}), None)


def places(tensors: Mapping[str, TensorRef]) -> dict[str, Place]:
    """Return where each tensor stands, by its name, its shape and the tensors of the same layer.

    Beyond :func:`place` it tells convolutions, batch norms and norms that are known only by their number
    (``features.0.1.weight``), dense layers from convolutions, and causal masks (part ``mask``) from biases.

    Args:
        tensors: Tensors by name.
    """
    modules = _modules(tensors)
    found = {}
    for name, ref in tensors.items():
        where = _refined(place(name), modules[_module_name(name)])
        is_mask = where.part == "bias" and where.role == "other" and len(ref.shape) >= _MASK
        found[name] = where._replace(part="mask") if is_mask else where
    return found


def is_matrix(ref: TensorRef) -> bool:
    """Whether it is a weight matrix, convolutions included: both its sides longer than 1, its elements real numbers.

    Batch norms, norms, positions and scales are none, whatever their shape.
    """
    if ref.role not in {"weights", "adapter", "ema", "gradients"} or not (
        ref.dtype.kind == "float" or ref.quantization is not None
    ):
        return False
    where = place(ref.name)
    return where.role not in _NEVER_DENSE and where.part == "weight" and min(matrix_shape(ref), default=0) > 1


def matrix_shape(ref: TensorRef) -> tuple[int, int] | tuple[()]:
    """Return (outputs, inputs) of a tensor seen as a matrix; ``()`` if it has less than two dimensions.

    The first dimension is the outputs, all others together the inputs, save where it is stored otherwise: see
    :func:`is_transposed`. Of stacked matrices (all experts of a layer in one tensor) it is the shape of one.

    Args:
        ref: The tensor, as its file has it. (A ``PermutedTensor`` has the order of its counterpart: ask that.)

    Example:
        >>> from diffai_core.testing import artifact
        >>> import numpy as np
        >>> kernel = artifact(tensors={"dense/kernel": np.zeros((3, 5))}).tensors["dense/kernel"]
        >>> matrix_shape(kernel)
        (5, 3)
    """
    shape = ref.shape
    if len(shape) < _MATRIX:
        return ()
    if n_stacked(ref) > 1:
        shape = shape[1:]
    if _is_kernel(ref.name) and len(shape) > _MATRIX:
        return _kernel_shape(ref.name, shape)
    if is_transposed(ref):
        return shape[-1], math.prod(shape[:-1])
    return shape[0], math.prod(shape[1:])


def n_stacked(ref: TensorRef) -> int:
    """Return how many matrices a tensor holds: 1, or all experts of a layer."""
    where = place(ref.name) if len(ref.shape) == _STACKED else None
    stacked = where is not None and where.role == "expert" and where.expert is None
    return ref.shape[0] if stacked else 1


def is_transposed(ref: TensorRef) -> bool:
    """Whether a tensor is stored (inputs, outputs): Keras and Flax kernels, ``Conv1D`` of GPT-2.

    A ``c_proj`` of GPT-2 that is square does not tell; it is taken to be stored as usual.
    """
    if len(ref.shape) < _MATRIX:
        return False
    if _is_kernel(ref.name):
        return True
    where = place(ref.name)
    if len(ref.shape) != _MATRIX or where.part != "weight" or where.leaf not in _CONV1D_OUT_FIRST:
        return False
    rows, columns = ref.shape
    if where.base in {"down", "mlp"}:
        return rows > columns
    return _CONV1D_OUT_FIRST[where.leaf] and columns > rows


def _is_kernel(name: str) -> bool:
    last = name.replace("/", ".").rpartition(".")[2].partition(":")[0]
    return last in {"kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel"}


def _kernel_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (outputs, inputs) of a kernel of more dimensions: of an attention by heads, or of a convolution."""
    if len(shape) == _CONVOLUTION and place(name).base in {"q", "k", "v"}:
        return shape[1] * shape[2], shape[0]
    if len(shape) > _CONVOLUTION and "depthwise" in name.lower():
        return shape[-1] * shape[-2], math.prod(shape[:-2])
    return shape[-1], math.prod(shape[:-1])


def _module_name(name: str) -> str:
    return name[: max(name.rfind("."), name.rfind("/"))] if "." in name or "/" in name else ""


def _modules(tensors: Mapping[str, TensorRef]) -> dict[str, _Module]:
    found: dict[str, dict[str, TensorRef]] = defaultdict(dict)
    for name, ref in tensors.items():
        module = _module_name(name)
        found[module][name[len(module) :].lstrip("./").partition(":")[0]] = ref
    return {module: _Module(parts) for module, parts in found.items()}


def _refined(where: Place, module: _Module) -> Place:
    if where.role in {"lora_a", "lora_b", "expert"}:
        return where
    role = _role_by_shape(where.role, module)
    return where if role == where.role else where._replace(role=role, base=role)


def _role_by_shape(role: str, module: _Module) -> str:
    """Return the role of a layer, given what its name says and what shape its weight has."""
    weight = module.weight()
    if module.is_batch_norm or weight is None:
        return "bn" if module.is_batch_norm else role
    n_dims = len(weight.shape)
    if role in _DENSE_ROLES | _FEED_FORWARD_ROLES and n_dims > _CONVOLUTION - (role in _DENSE_ROLES):
        return "conv"
    if n_dims == _MATRIX and role in {"conv", "other", "bn", "norm"} and min(weight.shape) > 1:
        return "mlp"
    if n_dims == 1 and role in {"conv", "other", "mlp", "up", "down", "head"} and "bias" in module.parts:
        return "norm"
    return role
