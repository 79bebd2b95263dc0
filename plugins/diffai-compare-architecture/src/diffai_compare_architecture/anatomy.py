"""What one model is made of: blocks, width, heads, parameters by role, tied tensors."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_layers import facts_of, is_matrix, is_transposed, matrix_shape, n_stacked, places

from diffai_compare_architecture.families import patterns_of, recognise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_layers import Facts, Place

    from diffai_compare_architecture.families import Recognised
    from diffai_core.plugin import Artifact, KeyFilter, TensorRef

_BY_HEADS = 3
"""Dimensions of a projection that Keras and Flax keep by heads: inputs, heads, elements."""

_BUFFERS = frozenset({"running_mean", "running_var", "num_batches_tracked", "position_ids", "inv_freq", "mask"})
"""What formats without buffers keep among the weights, and no training moves along a gradient."""

_ATTENTION = frozenset({"q", "k", "v", "qkv", "kv", "q_b", "kv_b"})


class Told(NamedTuple):
    """A number and where it is from.

    Args:
        value: The number.
        source: What tells it: a path in the tree, or the tensors whose shape it is.
    """

    value: int
    source: str


@dataclass(frozen=True)
class Anatomy:
    """What one model is made of. Weights and adapters only; tied storage counts once.

    Args:
        kind: ``decoder-only transformer``, ``convolutional network`` … by the roles of its layers; empty if unknown.
        facts: What its configuration says.
        recognised: The family by the names of its tensors.
        stacks: Number of blocks by the name of the stack.
        n_layers: Number of weight matrices, those of stacked experts each.
        width: Width of the residual stream or, of a convolutional network, its most channels.
        head_dim: Elements of one head.
        n_heads: Heads of the queries.
        gqa_ratio: Rows of the queries over rows of the keys; ``None`` where they are fused or absent.
        n_parameters: Elements; running means and the like are none.
        active_parameters: Elements that one token passes through; ``None`` if the configuration does not tell.
        by_role: Elements by role.
        tied: Tensors that share their storage, each group sorted.
    """

    kind: str
    facts: Facts
    recognised: Recognised | None
    stacks: Mapping[str, int]
    n_layers: int
    width: Told | None
    head_dim: Told | None
    n_heads: Told | None
    gqa_ratio: float | None
    n_parameters: int
    active_parameters: int | None
    by_role: Mapping[str, int]
    tied: tuple[tuple[str, ...], ...]

    @property
    def n_blocks(self) -> int:
        """Blocks of all stacks."""
        return sum(self.stacks.values())

    @property
    def type(self) -> str:
        """The family as the configuration or, if it is silent, the names of the tensors tell it, else the kind."""
        if self.facts.model_type is not None:
            return str(self.facts.model_type.value)
        if self.recognised is not None:
            return " or ".join(self.recognised.families)
        return self.kind or "unknown"


def anatomy_of(artifact: Artifact, keys: KeyFilter) -> Anatomy | None:
    """Return what a model is made of, or ``None`` if the artefact has no weights that are looked at."""
    weights = {name: ref for name, ref in artifact.tensors.items() if ref.is_parameter and keys.keeps_tensor(ref)}
    if not weights:
        return None
    where = places(weights)
    buffers = {name for name, place in where.items() if place.part in _BUFFERS}
    weights = {name: ref for name, ref in weights.items() if name not in buffers}
    facts = facts_of(artifact)
    by_role = _by_role(weights, where)
    total = sum(by_role.values())
    heads, head_dim = _heads(weights, where, facts)
    return Anatomy(
        kind=_kind(where),
        facts=facts,
        recognised=recognise(patterns_of(where.values())),
        stacks=_stacks(where),
        n_layers=sum(n_stacked(ref) for ref in weights.values() if is_matrix(ref)),
        width=_width(weights, where, facts),
        head_dim=head_dim,
        n_heads=heads,
        gqa_ratio=_gqa_ratio(weights, where),
        n_parameters=total,
        active_parameters=_active(total, by_role.get("expert", 0), facts),
        by_role=by_role,
        tied=_tied(weights),
    )


def sides(ref: TensorRef) -> tuple[int, int]:
    """Return outputs and inputs of a matrix; zeros of anything else."""
    shape = matrix_shape(ref)
    return (shape[0], shape[1]) if shape else (0, 0)


def _by_role(weights: Mapping[str, TensorRef], where: Mapping[str, Place]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, ref in {ref.storage: (name, ref) for name, ref in reversed(list(weights.items()))}.values():
        counts[where[name].role] += ref.numel
    return dict(sorted(counts.items()))


def _stacks(where: Mapping[str, Place]) -> dict[str, int]:
    blocks: dict[str, set[int]] = defaultdict(set)
    for place in where.values():
        if place.block is not None:
            blocks[place.prefix].add(place.block)
    return {prefix: len(blocks[prefix]) for prefix in sorted(blocks)}


def _kind(where: Mapping[str, Place]) -> str:
    """Return what kind of network the roles make up."""
    roles = {place.role for place in where.values()} | {place.base for place in where.values()}
    if roles & {"lora_a", "lora_b"} and not roles & {"norm", "embed", "bn"}:
        return "adapter"
    if roles & _ATTENTION:
        return _transformer(where, roles)
    if "ssm" in roles:
        return "state space model"
    if "rnn" in roles:
        return "recurrent network"
    if "conv" in roles:
        return "convolutional network"
    return "dense network" if roles & {"mlp", "up", "down"} else ""


def _transformer(where: Mapping[str, Place], roles: set[str]) -> str:
    experts = "mixture-of-experts " if roles & {"expert"} else ""
    if "ssm" in roles:
        return f"{experts}hybrid of transformer and state space model"
    paths = [f"{place.prefix}.{place.inner}".lower() for place in where.values() if place.block is not None]
    cross = any("encdecattention" in path or "encoder_attn" in path or "cross" in path for path in paths)
    if cross and any("encoder" in path.split(".") for path in paths):
        return f"{experts}encoder-decoder transformer"
    patches = any("patch" in f"{name}".lower() for name in where) or ("conv" in roles and "embed" not in roles)
    return f"{experts}transformer with convolutions" if patches else f"{experts}transformer"


def _width(weights: Mapping[str, TensorRef], where: Mapping[str, Place], facts: Facts) -> Told | None:
    if facts.hidden_size is not None:
        return Told(facts.hidden_size.value, facts.hidden_size.path)
    norms = Counter(
        ref.shape[0]
        for name, ref in weights.items()
        if where[name].role == "norm"
        and where[name].part == "weight"
        and len(ref.shape) == 1
        and not _of_heads(where[name])
    )
    if norms:
        return Told(max(norms, key=lambda length: (norms[length], length)), "length of most norms")
    embeddings = [sides(ref)[1] for name, ref in weights.items() if where[name].role == "embed" and is_matrix(ref)]
    if embeddings:
        return Told(max(embeddings), "columns of the embedding")
    channels = [ref.shape[0] for name, ref in weights.items() if where[name].role == "bn" and ref.shape]
    channels += [sides(ref)[0] for name, ref in weights.items() if where[name].role == "conv" and is_matrix(ref)]
    return Told(max(channels), "most channels") if channels else None


def _of_heads(place: Place) -> bool:
    return place.leaf in {
        "q_norm",
        "k_norm",
        "q_layernorm",
        "k_layernorm",
        "attn_q_norm",
        "attn_k_norm",
        "norm_q",
        "norm_k",
    }


def _heads(
    weights: Mapping[str, TensorRef], where: Mapping[str, Place], facts: Facts
) -> tuple[Told | None, Told | None]:
    """Return heads and elements of a head; a square projection of the queries does not tell them."""
    rows = _rows(weights, where, "q")
    if facts.n_heads is not None:
        count = Told(facts.n_heads.value, facts.n_heads.path)
        if facts.head_dim is not None:
            return count, Told(facts.head_dim.value, facts.head_dim.path)
        divides = rows is not None and rows % count.value == 0
        return count, Told(rows // count.value, "rows of the queries over heads") if rows and divides else None
    for name, ref in weights.items():
        if where[name].role == "q" and len(ref.shape) == _BY_HEADS and is_transposed(ref):
            return Told(ref.shape[1], f"shape of {name}"), Told(ref.shape[2], f"shape of {name}")
        if rows is not None and _of_heads(where[name]) and len(ref.shape) == 1 and 0 < ref.shape[0] < rows:
            length = ref.shape[0]
            heads = Told(rows // length, f"rows of the queries over {name}") if rows % length == 0 else None
            return heads, Told(length, f"shape of {name}")
    return None, None


def _rows(weights: Mapping[str, TensorRef], where: Mapping[str, Place], role: str) -> int | None:
    """Return how many outputs the projections of a role have, if all have the same."""
    found = {
        sides(ref)[0]
        for name, ref in weights.items()
        if where[name].role == role and where[name].part == "weight" and is_matrix(ref)
    }
    return found.pop() if len(found) == 1 else None


def _gqa_ratio(weights: Mapping[str, TensorRef], where: Mapping[str, Place]) -> float | None:
    queries, keys = _rows(weights, where, "q"), _rows(weights, where, "k")
    return queries / keys if queries and keys else None


def _active(total: int, experts: int, facts: Facts) -> int | None:
    if not experts:
        return total
    if facts.n_experts is None or facts.n_experts_used is None or facts.n_experts_used.value > facts.n_experts.value:
        return None
    return total - experts + experts * int(facts.n_experts_used.value) // int(facts.n_experts.value)


def _tied(weights: Mapping[str, TensorRef]) -> tuple[tuple[str, ...], ...]:
    groups: dict[object, list[str]] = defaultdict(list)
    for name, ref in weights.items():
        groups[ref.storage].append(name)
    return tuple(
        sorted(tuple(sorted(names)) for names in groups.values() if len(names) > 1 and weights[names[0]].numel)
    )
