"""The tensors of one side, and what they take in bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from diffai_lib_layers import Facts, Place, facts_of, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from diffai_core.plugin import Artifact, Comparison, TensorRef

_ROLES = {
    "weight_bytes": ("weights", "adapter"),
    "buffer_bytes": ("buffers",),
    "optimizer_bytes": ("optimizer",),
    "gradient_bytes": ("gradients",),
    "ema_bytes": ("ema",),
}


@dataclass(frozen=True)
class Side:
    """One side of the comparison, as far as it is looked at.

    Args:
        artifact: As it was opened.
        tensors: Its tensors by name.
        facts: What its configuration says.
    """

    artifact: Artifact
    tensors: Mapping[str, TensorRef]
    facts: Facts = field(default_factory=Facts)

    @cached_property
    def weights(self) -> dict[str, TensorRef]:
        """The parameters by name, every name of a shared storage."""
        return {name: ref for name, ref in self.tensors.items() if ref.is_parameter}

    @cached_property
    def places(self) -> dict[str, Place]:
        """Where each of the weights stands in the model."""
        return places(self.weights)

    @cached_property
    def n_parameters(self) -> int:
        """Number of parameters, those of a shared storage once."""
        return sum(ref.numel for ref in unique(self.weights.values()))

    @property
    def bits_per_weight(self) -> float | None:
        """Stored bits of a parameter on average, scales included; ``None`` without parameters."""
        refs = unique(ref for ref in self.weights.values() if len(ref.shape) > 1)
        n = sum(ref.numel for ref in refs)
        return 8 * sum(ref.nbytes for ref in refs) / n if n else None

    @property
    def formats(self) -> frozenset[str]:
        """How the matrices are stored."""
        return frozenset(ref.stored_as for ref in self.weights.values() if len(ref.shape) > 1)

    def stored_bytes(self) -> dict[str, int]:
        """Return the bytes of the tensors by what they are for, each storage once."""
        return {
            key: sum(ref.nbytes for ref in unique(one for one in self.tensors.values() if one.role in roles))
            for key, roles in _ROLES.items()
        }


def sides_of(comparison: Comparison) -> tuple[Side, Side]:
    """Return both sides; tensors that are not looked at are not there."""
    olds = (result.pair.old for result in comparison.results)
    news = (result.pair.new for result in comparison.results)
    return _side(comparison.old, olds), _side(comparison.new, news)


def _side(artifact: Artifact, refs: Iterable[TensorRef | None]) -> Side:
    """Return a side with the tensors as its file has them, also where they were paired in another order of axes."""
    tensors = {ref.name: artifact.tensors.get(ref.name, ref) for ref in refs if ref is not None}
    return Side(artifact, tensors, facts_of(artifact))


def unique(refs: Iterable[TensorRef]) -> list[TensorRef]:
    """Return the tensors, of those with a shared storage the first."""
    found: dict[Any, TensorRef] = {}
    for ref in refs:
        found.setdefault(ref.storage, ref)
    return list(found.values())


def ratio(old: float | None, new: float | None) -> float | None:
    """Return NEW over OLD; ``None`` where either is not known, or OLD is nothing."""
    return None if old is None or new is None or not old else new / old
