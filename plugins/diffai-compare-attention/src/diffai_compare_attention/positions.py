"""How a model tells positions apart: rotated pairs of dimensions, a learned table, or what the files do not say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from diffai_lib_layers import facts_of, place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from diffai_core.plugin import Artifact, TensorRef

Way = Literal["rotary", "learned", "relative", "unknown"]

_TABLE = re.compile(r"(?:^|\.)(?:wpe|position_embd|position_embeddings?|embed_positions|positional_embedding)(?:$|\.)")
_ROTARY_TENSOR = re.compile(r"rotary|inv_freq|rope_f")
_RELATIVE_TENSOR = re.compile(r"relative_attention_bias|relative_position_bias_table|attn_rel_b")
_ROTARY_KEYS = (
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rotary_emb_base",
    "rotary_dim",
    "rotary_pct",
    "rotary",
)
_SHARES = ("partial_rotary_factor", "rotary_pct", "rotary_percent")
_INTERLEAVED = frozenset({"gptj", "codegen", "chatglm", "glm", "glm4", "cohere", "cohere2", "ernie4_5", "helium"})
"""Model types of Hugging Face that rotate neighbouring dimensions; all others rotate the two halves of a head."""
_GGUF_INTERLEAVED = frozenset(
    (
        "llama",
        "deci",
        "baichuan",
        "starcoder",
        "internlm2",
        "minicpm",
        "xverse",
        "command-r",
        "cohere2",
        "olmo",
        "arctic",
        "deepseek",
        "chatglm",
        "granite",
        "granitemoe",
        "bailingmoe",
        "smollm3",
        "arcee",
        "ernie4_5",
        "mistral3",
    )
)
"""Architectures whose rows llama.cpp stores for neighbouring dimensions (``LLAMA_ROPE_TYPE_NORM``)."""
_MATRIX = 2
_NORMS_BEFORE = frozenset({"ln_1", "ln1", "input_layernorm", "attn_norm", "layernorm_before", "self_attn_layer_norm"})
"""Norms between the input of a block and its attention. ``norm1`` of PyTorch may stand before or behind it."""
_NORM_OF_SUM = re.compile(r"embed\w*\.(?:layer_?norm|norm|ln)\.|layernorm_embedding|token_embd_norm", re.IGNORECASE)
_LARGEST_CONFIG = 1000
_CAUSAL = ("ForCausalLM", "LMHeadModel", "DoubleHeadsModel")
_BOTH_WAYS = ("ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForTokenClassification", "BertModel")


class Positions(NamedTuple):
    """How one side tells positions apart.

    Args:
        way: How.
        interleaved: With ``rotary``: whether neighbouring dimensions are a pair, instead of the halves of a head.
        share: With ``rotary``: share of a head's dimensions that rotate; or their number, if above 1.
        table: With ``learned``: the table, one row for each position.
        tokens: With ``learned``: the table of tokens that is added to it, if there is one.
        norm: With ``learned``: weight and bias of the norm between the sum and the first attention; ``None`` for each
            that there is not.
    """

    way: Way
    interleaved: bool = False
    share: float = 1.0
    table: TensorRef | None = None
    tokens: TensorRef | None = None
    norm: tuple[TensorRef | None, TensorRef | None] = (None, None)

    def n_pairs(self, dim: int) -> int:
        """Return how many pairs of a head's dimensions rotate."""
        if self.way != "rotary":
            return 0
        rotating = int(self.share) if self.share > 1 else int(dim * self.share)
        return min(rotating, dim) // 2


def positions_of(side: Artifact, refs: Sequence[TensorRef]) -> Positions:
    """Return how one side tells positions apart, by its configuration and by the tensors it has."""
    table = rotary = relative = None
    for ref in refs:
        if (
            ref.dtype.kind == "float"
            and _TABLE.search(ref.name)
            and len(ref.shape) == _MATRIX
            and place(ref.name).part == "weight"
        ):
            table = table or ref
        rotary = rotary or _ROTARY_TENSOR.search(ref.name)
        relative = relative or _RELATIVE_TENSOR.search(ref.name)
    gguf = side.tree.get("general.architecture")
    if isinstance(gguf, str):
        if any(str(key).startswith(f"{gguf}.rope.") for key in side.tree):
            dims = side.tree.get(f"{gguf}.rope.dimension_count", 0)
            share = float(dims) if isinstance(dims, int) and dims > 1 else 1.0
            return Positions("rotary", gguf in _GGUF_INTERLEAVED, share)
    else:
        config = _config_with(side.tree, _ROTARY_KEYS)
        if config is not None or rotary:
            return Positions("rotary", model_type_of(side) in _INTERLEAVED, _share(config or {}))
    if relative:
        return Positions("relative")
    return Positions("unknown") if table is None else _learned(table, refs)


def _learned(table: TensorRef, refs: Sequence[TensorRef]) -> Positions:
    """Return the table with what else makes up the inputs of the first attention."""
    width = table.shape[1]
    tables = [ref for ref in refs if ref.shape[1:] == (width,) and ref is not table and ref.dtype.kind == "float"]
    tokens = [ref for ref in tables if place(ref.name).role == "embed"]
    norm: dict[str, TensorRef] = {}
    for ref in refs:
        if ref.shape != (width,) or ref.dtype.kind != "float":
            continue
        where = place(ref.name)
        before = where.block == 0 and where.leaf.lower() in _NORMS_BEFORE
        behind_sum = where.block is None and _NORM_OF_SUM.search(ref.name) is not None
        if where.role == "norm" and (before or behind_sum):
            norm.setdefault(where.part, ref)
    largest = max(tokens, key=lambda ref: ref.shape[0], default=None)
    return Positions("learned", table=table, tokens=largest, norm=(norm.get("weight"), norm.get("bias")))


def model_type_of(side: Artifact) -> str:
    """Return what the configuration calls the architecture; empty if it does not say."""
    fact = facts_of(side).model_type
    return fact.value if fact is not None and isinstance(fact.value, str) else ""


def looks_ahead(side: Artifact, name: str) -> bool | None:
    """Return whether tokens see those behind them; ``None`` if neither configuration nor names say so."""
    fact = facts_of(side).architectures
    names = [str(one) for one in fact.value] if fact is not None and isinstance(fact.value, list) else []
    if any(one.endswith(_CAUSAL) for one in names) or "c_attn" in name:
        return False
    return True if any(one.endswith(_BOTH_WAYS) for one in names) else None


def _share(config: Mapping[str, Any]) -> float:
    number = config.get("rotary_dim")
    if isinstance(number, int) and number > 1:
        return float(number)
    shares = (config.get(key) for key in _SHARES)
    return next((float(share) for share in shares if isinstance(share, int | float) and 0 < share <= 1), 1.0)


def _config_with(tree: Mapping[str, Any], keys: tuple[str, ...], depth: int = 3) -> Mapping[str, Any] | None:
    """Return the first part of the tree that has one of the keys, not too deep."""
    if any(tree.get(key) is not None for key in keys):
        return tree
    if depth:
        for child in tree.values():
            found = (
                _config_with(child, keys, depth - 1)
                if isinstance(child, dict) and len(child) < _LARGEST_CONFIG
                else None
            )
            if found is not None:
                return found
    return None
