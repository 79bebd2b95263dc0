"""Where in its matrices the queries, keys, values and outputs of each head lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_compare_attention.layers import Layer, Matrix

_WOVEN = frozenset({"query_key_value", "wqkv"})
"""Fused matrices that hold ``[queries of a group, its key, its value]`` group after group: GPT-NeoX, BLOOM, Falcon,
InternLM2. All others hold all queries, then all keys, then all values."""

_CONCATENATED_MODELS = ("chatglm", "glm")
"""Model types whose ``query_key_value`` is not woven all the same."""


class HeadCount(NamedTuple):
    """How many heads a layer has.

    Args:
        n: Heads of the queries.
        n_kv: Heads of the keys and values; a divisor of ``n``.
        dim: Width of a head.
        source: What said so.
    """

    n: int
    n_kv: int
    dim: int
    source: str


@dataclass(frozen=True)
class Slices:
    """The part of one matrix that belongs to each head.

    Args:
        matrix: The matrix.
        starts: First output (of ``o``: first input) of each head.
        dim: Outputs (of ``o``: inputs) of a head.
        by_input: Whether heads are parts of the inputs: ``o``.
    """

    matrix: Matrix
    starts: tuple[int, ...]
    dim: int
    by_input: bool = False


def slices(layer: Layer, heads: HeadCount, model_type: str = "") -> dict[str, Slices]:
    """Return the slices of ``q``, ``k``, ``v`` and ``o``, as far as the layer has them.

    Args:
        layer: The layer.
        heads: Its heads; they fit its shapes.
        model_type: What the configuration calls the architecture; decides between layouts of one name.
    """
    found = {role: _alone(matrix, heads, role) for role, matrix in layer.matrices.items() if role in "qkvo"}
    if "kv" in layer.matrices:
        matrix, width = layer.matrices["kv"], heads.n_kv * heads.dim
        found["k"] = Slices(matrix, _steps(heads.n_kv, heads.dim), heads.dim)
        found["v"] = Slices(matrix, _steps(heads.n_kv, heads.dim, width), heads.dim)
    if "qkv" in layer.matrices:
        starts = (_woven if layout_of(layer, model_type) == "woven" else _concatenated)(heads)
        found |= {role: Slices(layer.matrices["qkv"], starts[role], heads.dim) for role in "qkv"}
    return found


def layout_of(layer: Layer, model_type: str) -> str:
    """Return how queries, keys and values are stored: ``split``, ``concatenated`` or ``woven`` head by head."""
    if "qkv" not in layer.matrices:
        return "split"
    leaf = layer.leaves["qkv"]
    if leaf not in _WOVEN or model_type.lower().startswith(_CONCATENATED_MODELS):
        return "concatenated"
    if leaf == "wqkv" and "internlm" not in model_type.lower() and not layer.prefix.startswith("model"):
        return "concatenated"  # the fused matrix of gpt-fast has the same name
    return "woven"


def _alone(matrix: Matrix, heads: HeadCount, role: str) -> Slices:
    count = heads.n_kv if role in {"k", "v"} else heads.n
    return Slices(matrix, _steps(count, heads.dim), heads.dim, by_input=role == "o")


def _steps(count: int, step: int, start: int = 0) -> tuple[int, ...]:
    return tuple(range(start, start + count * step, step))


def _concatenated(heads: HeadCount) -> Mapping[str, tuple[int, ...]]:
    keys = heads.n * heads.dim
    return {
        "q": _steps(heads.n, heads.dim),
        "k": _steps(heads.n_kv, heads.dim, keys),
        "v": _steps(heads.n_kv, heads.dim, keys + heads.n_kv * heads.dim),
    }


def _woven(heads: HeadCount) -> Mapping[str, tuple[int, ...]]:
    per_group = heads.n // heads.n_kv
    whole = (per_group + 2) * heads.dim
    queries = (group * whole + one * heads.dim for group in range(heads.n_kv) for one in range(per_group))
    return {
        "q": tuple(queries),
        "k": _steps(heads.n_kv, whole, per_group * heads.dim),
        "v": _steps(heads.n_kv, whole, (per_group + 1) * heads.dim),
    }
