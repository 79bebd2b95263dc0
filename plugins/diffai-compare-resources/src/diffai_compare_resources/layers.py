"""The work of a model, counted from names and shapes of its tensors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diffai_lib_layers import matrix_shape

from diffai_compare_resources.sides import unique
from diffai_compare_resources.work import Unresolved, Work

if TYPE_CHECKING:
    from diffai_lib_layers import Place

    from diffai_compare_resources.sides import Side
    from diffai_core.plugin import TensorRef

_LOOKED_UP = frozenset({"embed", "position"})
_MATRIX = 2
_CONVOLUTION = 3
_CACHE_BYTES = 2
_FULL_BYTES = 4
_WITH_HEAD = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_ATTENTION = frozenset({"q", "k", "v", "qkv", "kv", "o", "q_b", "kv_a", "kv_b"})


@dataclass
class Attention:
    """The projections of one attention.

    Args:
        widths: (outputs, inputs) of each projection, by role.
        cache_bytes: Bytes of an element of its keys and values.
    """

    widths: dict[str, tuple[int, int]] = field(default_factory=dict)
    cache_bytes: int = _CACHE_BYTES

    @property
    def value_width(self) -> int | None:
        """Elements of the values of all heads of the queries: what the output projection takes."""
        if "o" in self.widths:
            return self.widths["o"][1]
        return self.query_width

    @property
    def query_width(self) -> int | None:
        """Elements of the queries of all heads."""
        for role in ("q", "q_b"):
            if role in self.widths:
                return self.widths[role][0]
        return self.widths["o"][1] if "o" in self.widths else None

    @property
    def cache_width(self) -> int | None:
        """Elements of keys and values that each token leaves behind."""
        if "kv_a" in self.widths:
            return self.widths["kv_a"][0]
        if "k" in self.widths and "v" in self.widths:
            return self.widths["k"][0] + self.widths["v"][0]
        if "kv" in self.widths:
            return self.widths["kv"][0]
        if "qkv" in self.widths and "o" in self.widths:
            return self.widths["qkv"][0] - self.widths["o"][1]
        return None


def work_of_tensors(side: Side) -> Work:
    """Return the work of a model of which only the tensors are known."""
    counter = _Counter(side)
    for name, ref in side.weights.items():
        counter.count(name, ref)
    return counter.finish()


def attentions(side: Side) -> dict[tuple[object, ...], Attention]:
    """Return the attentions of a model, by block and module."""
    found: dict[tuple[object, ...], Attention] = defaultdict(Attention)
    for name, ref in side.weights.items():
        place = side.places[name]
        is_matrix = place.role in _ATTENTION and place.part == "weight" and len(ref.shape) >= _MATRIX
        shape = matrix_shape(ref) if is_matrix else ()
        if shape:
            attention = found[(place.prefix, place.block, place.inner)]
            attention.widths[place.role] = shape
            full = ref.quantization is None and ref.dtype.name in {"float32", "float64"}
            attention.cache_bytes = _FULL_BYTES if full else _CACHE_BYTES
    return dict(found)


def has_sequences(side: Side) -> bool:
    """Whether every matrix works once on each token of a sequence: with attention, recurrent and state-space layers.

    Of other models the weights do not tell how often a matrix is applied (to each node of a graph, to each patch …).
    """
    return any(place.role in _ATTENTION | {"rnn", "ssm"} for place in side.places.values())


def is_cross(inner: str) -> bool:
    """Whether an attention looks at another sequence, whose keys and values are computed once."""
    lower = inner.lower()
    return any(word in lower for word in ("cross", "encdec", "encoder_attn", "enc_attn", "multihead_attn"))


class _Counter:
    """Adds up the work tensor by tensor."""

    def __init__(self, side: Side) -> None:
        self._side, self._where = side, side.places
        self._attentions = attentions(side)
        self._embedding = _embedding(side)
        self._has_sequences = has_sequences(side)
        self._seen: set[object] = set()
        self._unresolved: list[Unresolved] = []
        self._totals: dict[str, float] = defaultdict(float)

    def _add(self, **terms: float) -> None:
        """Add to terms of the work, by the names of the fields of :class:`Work`."""
        for name, value in terms.items():
            self._totals[name] += value

    # -- tensors -----------------------------------------------------------------------------------------------

    def count(self, name: str, ref: TensorRef) -> None:
        """Add the work and the bytes of one tensor."""
        place = self._where[name]
        self._count_bytes(ref, place)
        if place.part != "weight" or len(ref.shape) < _MATRIX or place.role in _LOOKED_UP | {"norm", "bn", "scale"}:
            return
        if place.role == "expert":
            self._count_experts(name, ref)
        elif place.role == "conv" or (len(ref.shape) >= _CONVOLUTION and place.role not in _ATTENTION):
            self._count_convolution(name, ref)
        elif place.role == "ssm" and place.leaf.lower() in {"a_log", "a", "d"}:
            self._leave_out(name, ref, "the scan of a state-space layer is not counted")
        elif self._is_once(name, ref, place):
            self._add(per_sequence=2 * ref.numel)
        else:
            self._add(per_unit=2 * ref.numel)

    def _count_bytes(self, ref: TensorRef, place: Place) -> None:
        if ref.storage in self._seen:
            return
        self._seen.add(ref.storage)
        if place.role == "expert":
            self._add(expert_bytes=ref.nbytes)
        elif place.role in _LOOKED_UP and len(ref.shape) >= _MATRIX and ref.shape[0]:
            self._add(weight_bytes=ref.nbytes / ref.shape[0])
        else:
            self._add(weight_bytes=ref.nbytes)

    def _count_experts(self, name: str, ref: TensorRef) -> None:
        used, total = self._side.facts.n_experts_used, self._side.facts.n_experts
        if used is None or total is None:
            self._leave_out(name, ref, "how many experts a token passes through: give the folder with config.json")
            return
        self._add(per_unit=2 * ref.numel * min(used.value / total.value, 1.0))

    def _count_convolution(self, name: str, ref: TensorRef) -> None:
        if "patch_embed" in name or self._where[name].role == "ssm":
            self._add(per_unit=2 * ref.numel)
        else:
            self._leave_out(name, ref, "at how many places a convolution is applied: give the model as ONNX")

    def _is_once(self, name: str, ref: TensorRef, place: Place) -> bool:
        """Whether a layer works once for a sequence: heads that do not speak of tokens, and poolers."""
        if not self._has_sequences:
            return False
        if place.role == "head" and self._embedding is not None:
            return (matrix_shape(ref) or (0,))[0] != self._embedding.shape[0]
        return place.role == "head" or "pooler" in name

    def _leave_out(self, name: str, ref: TensorRef, reason: str) -> None:
        self._unresolved.append(Unresolved(name, reason, ref.numel))

    # -- the model ---------------------------------------------------------------------------------------------

    def finish(self) -> Work:
        """Return the work with what no single tensor tells: attention, and a head that is the embedding."""
        self._count_tied_head()
        for key, attention in self._attentions.items():
            if attention.value_width is None or attention.query_width is None:
                module = ".".join(str(part) for part in key if part not in {None, ""})
                self._unresolved.append(Unresolved(module, "the width of an attention without output projection"))
                continue
            self._add(per_context=2 * (attention.query_width + attention.value_width))
            if attention.cache_width and not is_cross(str(key[2])):
                self._add(kv_bytes=attention.cache_width * attention.cache_bytes)
        used, total = self._side.facts.n_experts_used, self._side.facts.n_experts
        share = min(used.value / total.value, 1.0) if used and total else None
        return Work(
            "token" if self._has_sequences else "input",
            expert_share=share,
            n_parameters=self._side.n_parameters,
            unresolved=tuple(self._unresolved),
            per_unit=self._totals["per_unit"],
            per_context=self._totals["per_context"],
            per_sequence=self._totals["per_sequence"],
            weight_bytes=self._totals["weight_bytes"],
            expert_bytes=self._totals["expert_bytes"],
            kv_bytes=self._totals["kv_bytes"],
        )

    def _count_tied_head(self) -> None:
        """Count the embedding as head where the configuration says that it is one, and no tensor is."""
        if self._embedding is None or not has_tied_head(self._side):
            return
        row_bytes = self._embedding.nbytes / (self._embedding.shape[0] or 1)
        self._add(per_unit=2 * self._embedding.numel, weight_bytes=self._embedding.nbytes - row_bytes)


def has_tied_head(side: Side) -> bool:
    """Whether the embedding is the head, too.

    Told by the configuration; or there must be a head (a causal language model, or one in GGUF) and no tensor is it.
    """
    if any(place.role == "head" and place.part == "weight" for place in side.places.values()):
        return False
    if side.facts.tie_word_embeddings is not None:
        return bool(side.facts.tie_word_embeddings.value)
    names = side.facts.architectures.value if side.facts.architectures else ()
    return isinstance(side.artifact.tree.get("general.architecture"), str) or any(
        str(name).endswith(_WITH_HEAD) for name in names
    )


def _embedding(side: Side) -> TensorRef | None:
    """Return the embedding of tokens: the largest."""
    tables = [
        side.weights[name]
        for name, place in side.places.items()
        if place.role == "embed" and place.part == "weight" and len(side.weights[name].shape) == _MATRIX
    ]
    return max(unique(tables), key=lambda ref: ref.numel, default=None)
