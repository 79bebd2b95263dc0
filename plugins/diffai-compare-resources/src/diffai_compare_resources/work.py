"""The work of a step of inference, counted from the tensors of a model or from its graph.

A multiplication and an addition count as two FLOPs. Only matrix products and convolutions are counted, as in
``torch.utils.flop_counter``; look-ups of embeddings are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Unresolved:
    """Something whose work is not known.

    Args:
        where: Name of the tensor or node.
        reason: What would have to be known.
        numel: Parameters that it holds.
    """

    where: str
    reason: str
    numel: int = 0


@dataclass(frozen=True)
class Work:
    """The work of inference as a function of batch size and context.

    Args:
        unit: What is counted for: a ``token`` of a sequence, or one ``input`` of a network without sequences.
        source: Whether the tensors were read for it, or the graph.
        per_unit: FLOPs of each token or input, whatever the context.
        per_context: Further FLOPs of each token for each token of context (scores and weighted values).
        per_sequence: FLOPs once for each sequence (pooling and classification heads).
        weight_bytes: Bytes of weights that each step reads, whatever the batch.
        expert_bytes: Bytes of all experts.
        expert_share: Share of the experts that a token passes through; ``None`` if not told.
        kv_bytes: Bytes of keys and values that each token of context leaves in the cache.
        n_parameters: Parameters that the counts are about, and those of ``unresolved``.
        n_covered: Parameters whose work is known; ``None`` for all but those of ``unresolved``.
        unresolved: What could not be counted.
    """

    unit: Literal["token", "input"] = "token"
    source: Literal["tensors", "graph"] = "tensors"
    per_unit: float = 0
    per_context: float = 0
    per_sequence: float = 0
    weight_bytes: float = 0
    expert_bytes: float = 0
    expert_share: float | None = None
    kv_bytes: float = 0
    n_parameters: int = 0
    n_covered: int | None = None
    unresolved: tuple[Unresolved, ...] = ()

    @property
    def coverage(self) -> float | None:
        """Share of the parameters whose work is known; ``None`` without parameters."""
        if not self.n_parameters:
            return None
        if self.n_covered is not None:
            return self.n_covered / self.n_parameters
        return max(0.0, 1 - sum(one.numel for one in self.unresolved) / self.n_parameters)

    @property
    def is_known(self) -> bool:
        """Whether anything was counted, and nothing left out."""
        return self.flops(1) > 0 and not self.unresolved

    def flops(self, context: int) -> float:
        """Return the FLOPs of one token with so many tokens of context, or of one input."""
        return self.per_unit + self.per_context * context + self.per_sequence / context

    def step_flops(self, batch: int, context: int) -> float:
        """Return the FLOPs of a step: one token of each sequence, or all inputs of a batch."""
        return batch * self.flops(context)

    def step_bytes(self, batch: int, context: int) -> float:
        """Return the least bytes that a step reads: weights once, and the cache of every sequence.

        Of experts, those that a batch is expected to reach if every token picks its own at random.
        """
        share = 1.0 if self.expert_share is None else 1 - (1 - self.expert_share) ** batch
        return self.weight_bytes + share * self.expert_bytes + batch * context * self.kv_bytes
