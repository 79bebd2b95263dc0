"""The attention layers of a model: which tensors hold the queries, keys, values and outputs of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_layers import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diffai_lib_layers import Place

    from diffai_core.plugin import TensorRef

_PROJECTIONS = frozenset({"q", "k", "v", "qkv", "kv", "o"})
_ATTENTION = re.compile(r"attn|attention|mha|multihead", re.IGNORECASE)
_HEAD_NORM = re.compile(r"(?:attn_)?(q|query)_(?:norm|layernorm|ln)", re.IGNORECASE)
_MATRIX, _SPREAD_MATRIX = 2, 3


class Matrix(NamedTuple):
    """A projection as the file has it.

    Args:
        ref: The tensor.
        transposed: Whether it is stored as inputs x outputs (GPT-2's Conv1D, Keras, Flax).
        n_out: Number of outputs.
        n_in: Number of inputs.
        bias: Its bias, of ``n_out`` elements, if there is one.
    """

    ref: TensorRef
    transposed: bool
    n_out: int
    n_in: int
    bias: TensorRef | None = None


@dataclass(frozen=True)
class Layer:
    """One attention layer of one side.

    Args:
        prefix: Modules around its block.
        block: Number of its block; ``None`` if it is in none.
        module: Modules from the block to the attention; tells self-attention from cross-attention.
        matrices: By role: ``q``, ``k``, ``v``, ``qkv``, ``kv``, ``o``.
        leaves: The layer's own names of those (``c_attn``, ``query_key_value``), by role.
        q_norm: Length of the norm of queries; 0 without one.
        spread_heads: Heads and their width where a kernel is stored with an axis for each (Keras, Flax), by role.
    """

    prefix: str
    block: int | None
    module: str
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    leaves: Mapping[str, str] = field(default_factory=dict)
    q_norm: int = 0
    spread_heads: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What it is called in reports."""
        number = "" if self.block is None else str(self.block)
        return ".".join(filter(None, (self.prefix, number, self.module)))

    @property
    def refs(self) -> list[TensorRef]:
        """All its tensors, biases behind their matrices."""
        return [ref for matrix in self.matrices.values() for ref in (matrix.ref, matrix.bias) if ref is not None]

    @property
    def numel(self) -> int:
        """Number of elements of its matrices."""
        return sum(matrix.ref.numel for matrix in self.matrices.values())


class _Found(NamedTuple):
    place: Place
    ref: TensorRef


def attention_layers(refs: Iterable[TensorRef]) -> list[Layer]:
    """Return the attention layers that these tensors make up, in the order of stacks and blocks.

    A layer has at least queries and keys, or values and outputs.
    """
    groups: dict[tuple[str, int, str], list[_Found]] = {}
    for ref in refs:
        where = place(ref.name)
        if ref.role != "weights" or where.expert is not None:
            continue
        if where.role in _PROJECTIONS or _HEAD_NORM.fullmatch(where.leaf):
            block = -1 if where.block is None else where.block
            groups.setdefault((where.prefix, block, _module(where)), []).append(_Found(where, ref))
    layers = (_layer(key, found) for key, found in groups.items())
    return sorted((layer for layer in layers if layer is not None), key=_order)


def _order(layer: Layer) -> tuple[str, int, str]:
    return layer.prefix, -1 if layer.block is None else layer.block, layer.module


def _module(where: Place) -> str:
    """Return the modules down to the last one that is an attention: ``attention`` of ``attention.self``."""
    words = where.inner.split(".") if where.inner else []
    for end in range(len(words), 0, -1):
        if _ATTENTION.search(words[end - 1]):
            return ".".join(words[:end])
    return "" if _ATTENTION.search(where.leaf) else where.inner


def _layer(key: tuple[str, int, str], found: list[_Found]) -> Layer | None:
    weights = {one.place.role: one for one in found if one.place.role in _PROJECTIONS and one.place.part == "weight"}
    biases = {one.place.role: one.ref for one in found if one.place.role in _PROJECTIONS and one.place.part == "bias"}
    has = weights.keys()
    if not ("qkv" in has or {"q", "k"} <= has or {"q", "kv"} <= has or {"v", "o"} <= has):
        return None
    turned = _is_turned(weights)
    matrices = {role: _matrix(role, one.ref, biases.get(role), transposed=turned) for role, one in weights.items()}
    norms = [one.ref for one in found if one.place.role not in _PROJECTIONS and one.place.part == "weight"]
    return Layer(
        key[0],
        None if key[1] < 0 else key[1],
        key[2],
        {role: matrix for role, matrix in sorted(matrices.items()) if matrix is not None},
        {role: one.place.leaf for role, one in weights.items()},
        max((ref.shape[0] for ref in norms if len(ref.shape) == 1), default=0),
        {role: _spread(role, one.ref.shape) for role, one in weights.items() if len(one.ref.shape) == _SPREAD_MATRIX},
    )


def _is_turned(weights: Mapping[str, _Found]) -> bool:
    """Whether the layer stores inputs x outputs: Keras and Flax kernels, Conv1D of GPT-2."""
    if any(one.ref.name.rsplit("/", 1)[-1].rsplit(".", 1)[-1].startswith("kernel") for one in weights.values()):
        return True
    fused = weights.get("qkv")
    if fused is None or fused.place.leaf != "c_attn" or len(fused.ref.shape) != _MATRIX:
        return False
    return fused.ref.shape[1] == 3 * fused.ref.shape[0]


def _matrix(role: str, ref: TensorRef, bias: TensorRef | None, *, transposed: bool) -> Matrix | None:
    """Return the projection, or ``None`` if it is no matrix."""
    shape = ref.shape
    if len(shape) == _SPREAD_MATRIX and transposed:
        shape = (shape[0] * shape[1], shape[2]) if role == "o" else (shape[0], shape[1] * shape[2])
    if len(shape) != _MATRIX or 0 in shape:
        return None
    n_out, n_in = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
    return Matrix(ref, transposed, n_out, n_in, bias if bias is not None and bias.numel == n_out else None)


def _spread(role: str, shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0], shape[1]) if role == "o" else (shape[1], shape[2])
