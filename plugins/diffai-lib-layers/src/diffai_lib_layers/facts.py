"""What the configuration of a model says about its shape, and where it says so."""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_layers.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Artifact

_NOT_PLAIN = re.compile(r'[.\[\]"]')
_MAX_NODES = 10_000
_MAX_DEPTH = 4
_MOST = 1 << 40

_HOLDERS = words(
    "config model_config model_args args cfg hparams hyper_parameters hyperparameters params.json config.json model"
    " text_config language_config llm_config model_kwargs init_args transformer decoder encoder kwargs"
    " config_json trainer_args __metadata__ metadata"
)
"""Keys under which a configuration of the model may lie; under others lie those of other things."""

_ALIASES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "n_heads": (
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "nhead"),
        ("encoder_attention_heads", "decoder_attention_heads"),
    ),
    "n_kv_heads": (("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv", "multi_query_group_num"),),
    "head_dim": (("head_dim", "d_kv", "kv_channels", "attention_head_size"),),
    "n_layers": (
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        ("encoder_layers", "decoder_layers"),
    ),
    "hidden_size": (("hidden_size", "n_embd", "d_model", "dim", "n_embed"),),
    "intermediate_size": (("intermediate_size", "ffn_hidden_size", "n_inner", "d_ff", "ffn_dim"),),
    "vocab_size": (("vocab_size", "n_vocab", "padded_vocab_size"),),
    "tie_word_embeddings": (("tie_word_embeddings",),),
    "max_positions": (("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "block_size", "seq_length"),),
    "rope_theta": (("rope_theta", "rotary_emb_base"),),
    "n_experts": (("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),),
    "n_experts_used": (("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "experts_per_token"),),
    "model_type": (("model_type",),),
    "architectures": (("architectures",),),
}
"""Names of each fact; those of one group say the same and must agree, an earlier group goes before a later one."""

_GGUF = {
    "n_heads": "attention.head_count",
    "n_kv_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "n_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "vocab_size": "vocab_size",
    "max_positions": "context_length",
    "rope_theta": "rope.freq_base",
    "n_experts": "expert_count",
    "n_experts_used": "expert_used_count",
}


class Fact(NamedTuple):
    """Something that the configuration says.

    Args:
        value: What it says.
        path: Where in the tree, as the comparison of trees writes it: ``["config.json"].num_attention_heads``.
    """

    value: Any
    path: str


@dataclass(frozen=True)
class Facts:
    """What the configuration says about the model; ``None`` where it does not say it, or says two things.

    Args:
        n_heads: Attention heads (of the queries).
        n_kv_heads: Heads of keys and values; fewer than ``n_heads`` where several queries share them.
        head_dim: Elements of one head, where it is told by itself.
        n_layers: Blocks.
        hidden_size: Width of the residual stream.
        intermediate_size: Width between the layers of a feed-forward network.
        vocab_size: Rows of the embedding.
        tie_word_embeddings: Whether the head is the embedding.
        max_positions: Longest input.
        rope_theta: Base of rotary positions.
        n_experts: Experts of one layer.
        n_experts_used: Experts that each token passes through.
        model_type: Name of the family.
        architectures: Names of the classes.
        ambiguous: For each fact that two places disagree about, both paths.
    """

    n_heads: Fact | None = None
    n_kv_heads: Fact | None = None
    head_dim: Fact | None = None
    n_layers: Fact | None = None
    hidden_size: Fact | None = None
    intermediate_size: Fact | None = None
    vocab_size: Fact | None = None
    tie_word_embeddings: Fact | None = None
    max_positions: Fact | None = None
    rope_theta: Fact | None = None
    n_experts: Fact | None = None
    n_experts_used: Fact | None = None
    model_type: Fact | None = None
    architectures: Fact | None = None
    ambiguous: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def facts_of(artifact: Artifact) -> Facts:
    """Return what the configuration in an artefact says: of a folder, in GGUF keys, under ``config`` in a checkpoint.

    The place nearest to the root counts; where two equally near ones disagree, neither does.

    Example:
        >>> from diffai_core.testing import artifact
        >>> facts_of(artifact(tree={"config": {"n_head": 12, "n_embd": 768}})).n_heads
        Fact(value=12, path='config.n_head')
    """
    found: dict[str, Fact] = {}
    ambiguous: dict[str, tuple[str, ...]] = {}
    for depth in _configurations(artifact.tree):
        for name in (one.name for one in fields(Facts) if one.name != "ambiguous"):
            if name in found or name in ambiguous:
                continue
            facts = [fact for path, values in depth if (fact := _fact(name, path, values)) is not None]
            if not facts:
                continue
            if any(not _same(fact.value, facts[0].value) for fact in facts[1:]):
                ambiguous[name] = tuple(fact.path for fact in facts)
            else:
                found[name] = facts[0]
    return Facts(**found, ambiguous=ambiguous)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _configurations(tree: Mapping[str, Any]) -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """Yield the mappings that may be configurations, those of one depth together, the root first."""
    level: deque[tuple[str, Mapping[str, Any]]] = deque([("", tree)])
    n_nodes = 0
    for depth in range(_MAX_DEPTH):
        if not level:
            return
        yield list(level)
        following: deque[tuple[str, Mapping[str, Any]]] = deque()
        for path, values in level:
            for key, value in values.items():
                n_nodes += 1
                if n_nodes > _MAX_NODES:
                    return
                if isinstance(value, dict) and _may_hold(str(key), depth):
                    following.append((path + _step(str(key), first=not path), value))
        level = following


def _may_hold(key: str, depth: int) -> bool:
    return key in _HOLDERS or (depth == 0 and key.endswith(("/config.json", ".gguf", "/params.json")))


def _step(key: str, *, first: bool) -> str:
    """Return how a key is written in a path, as the comparison of trees writes it."""
    if key and not _NOT_PLAIN.search(key) and key.isprintable() and key == key.strip():
        return key if first else f".{key}"
    return f"[{json.dumps(key, ensure_ascii=not key.isprintable())}]"


def _fact(name: str, path: str, values: Mapping[str, Any]) -> Fact | None:
    for group in _ALIASES[name]:
        facts = [
            Fact(value, path + _step(key, first=not path))
            for key in group
            if key in values and (value := _valid(name, values[key])) is not None
        ]
        if facts and all(fact.value == facts[0].value for fact in facts):
            return facts[0]
    if name == "n_kv_heads" and values.get("multi_query") is True and not values.get("new_decoder_architecture"):
        return Fact(1, path + _step("multi_query", first=not path))
    return _gguf_fact(name, path, values)


def _gguf_fact(name: str, path: str, values: Mapping[str, Any]) -> Fact | None:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str):
        return None
    if name == "model_type":
        return Fact(architecture, path + _step("general.architecture", first=not path))
    key = f"{architecture}.{_GGUF[name]}" if name in _GGUF else ""
    value = _valid(name, values.get(key))
    if value is not None:
        return Fact(value, path + _step(key, first=not path))
    tokens = values.get("tokenizer.ggml.tokens")
    if name == "vocab_size" and isinstance(tokens, list):
        return Fact(len(tokens), path + _step("tokenizer.ggml.tokens", first=not path))
    return None


def _valid(name: str, value: Any) -> Any:
    """Return the value if it can be what it is said to be, else ``None``."""
    if name == "tie_word_embeddings":
        return value if isinstance(value, bool) else None
    if name == "model_type":
        return value if isinstance(value, str) and value else None
    if name == "architectures":
        return value if isinstance(value, list) and value and all(isinstance(one, str) for one in value) else None
    if isinstance(value, list) and value and all(one == value[0] for one in value):
        value = value[0]  # GGUF tells it for each layer
    if name == "rope_theta" and isinstance(value, float):
        return value if 0 < value < _MOST else None
    return value if type(value) is int and 0 < value < _MOST else None
