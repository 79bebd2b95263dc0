"""What the pass says became of each tensor, before anything is read again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from diffai_core.plugin import PermutedTensor, Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from diffai_core.plugin import Comparison, PairResult, TensorRef

MODEL_ROLES = frozenset({"weights", "adapter", "buffers"})
"""Roles of tensors that the model computes with; others are state of its training."""
_TREE = frozenset({"added", "removed", "modified", "type_changed"})
MATRIX = 1024
"""Elements from which the cosine of a matrix tells related from unrelated."""


@dataclass(frozen=True)
class Survey:
    """The tensors of both sides by what happened to them.

    Args:
        comparison: Both artefacts and the results of the pass.
    """

    comparison: Comparison

    @cached_property
    def model(self) -> Sequence[PairResult]:
        """Results of the tensors that the model computes with."""
        return [result for result in self.comparison.results if ref_of(result).role in MODEL_ROLES]

    @cached_property
    def state(self) -> Sequence[PairResult]:
        """Results of the tensors that only training needs."""
        return [result for result in self.comparison.results if ref_of(result).role not in MODEL_ROLES]

    @cached_property
    def changed(self) -> Sequence[PairResult]:
        """Tensors of the model of equal shape whose values changed (beyond the tolerance)."""
        return [result for result in self.model if result.same_shape and result.relation is Relation.CHANGED]

    @cached_property
    def reshaped(self) -> Sequence[PairResult]:
        """Tensors of the model that have another shape and other values."""
        return [result for result in self.model if _is_pair(result) and _other_shape(result)]

    @cached_property
    def kept(self) -> Sequence[PairResult]:
        """Tensors of the model whose values are all equal, under whatever name and however stored."""
        kept = {Relation.IDENTICAL, Relation.EQUAL_VALUES, Relation.WITHIN_TOLERANCE}
        return [result for result in self.model if result.relation in kept]

    @cached_property
    def added(self) -> Sequence[TensorRef]:
        """Tensors of the model that only NEW has."""
        return [result.pair.new for result in self.model if result.pair.old is None and result.pair.new is not None]

    @cached_property
    def removed(self) -> Sequence[TensorRef]:
        """Tensors of the model that only OLD has."""
        return [result.pair.old for result in self.model if result.pair.new is None and result.pair.old is not None]

    @cached_property
    def renamed(self) -> Sequence[PairResult]:
        """Tensors of the model that have another name."""
        return [result for result in self.model if result.pair.renamed]

    @cached_property
    def reordered(self) -> Sequence[PairResult]:
        """Tensors of the model with equal values whose axes are stored in another order."""
        return [result for result in self.kept if _axes_moved(result.pair.new)]

    @cached_property
    def recast(self) -> Sequence[PairResult]:
        """Tensors of the model with equal values in another dtype."""
        return [result for result in self.kept if not result.same_dtype]

    @cached_property
    def state_changed(self) -> Sequence[PairResult]:
        """Tensors of the training state that are not as before."""
        return [result for result in self.state if result.relation in {None, Relation.CHANGED} or not result.same_dtype]

    @cached_property
    def tree_changed(self) -> int:
        """Entries of configuration, metadata and graph that changed."""
        return sum(
            finding.level == "change" and (finding.kind in _TREE or finding.kind.startswith("graph_"))
            for finding in self.comparison.findings
        )

    @property
    def all_identical(self) -> bool:
        """Whether all tensors that have a counterpart are equal bit for bit."""
        return all(result.relation in {None, Relation.IDENTICAL} for result in self.model)

    @property
    def incomplete(self) -> bool:
        """Whether a tensor of the model was not compared."""
        return any(result.relation is Relation.NOT_COMPARED for result in self.model)


def ref_of(result: PairResult) -> TensorRef:
    """Return the tensor of NEW, or of OLD where it was removed."""
    ref = result.pair.new or result.pair.old
    if ref is None:
        raise ValueError("a pair without tensors")
    return ref


def _is_pair(result: PairResult) -> bool:
    return result.pair.old is not None and result.pair.new is not None


def _other_shape(result: PairResult) -> bool:
    return not result.same_shape and result.relation is Relation.CHANGED


def _axes_moved(ref: TensorRef | None) -> bool:
    return isinstance(ref, PermutedTensor) and list(ref.axes) != sorted(ref.axes)


def elements(refs: Iterable[TensorRef]) -> int:
    """Return how many elements they have, tied storage counted once."""
    return sum({ref.storage: ref.numel for ref in refs}.values())


def elements_of(results: Iterable[PairResult]) -> int:
    """Return how many elements the tensors have, tied storage counted once."""
    return elements(map(ref_of, results))


def is_matrix(ref: TensorRef) -> bool:
    """Whether it has rows and columns enough for its cosine to tell something."""
    return len(ref.shape) > 1 and min(ref.numel // ref.shape[0] if ref.shape[0] else 0, ref.shape[0]) > 1


def centred_cosine(result: PairResult) -> float | None:
    """Return the cosine of both sides less their means; ``None`` where that is no number."""
    moments = result.statistics.get("moments")
    cosine: float | None = None if moments is None else moments.centred_cos
    return cosine


def rel_change(result: PairResult) -> float | None:
    """Return the norm of the change over that of OLD; ``None`` where that is no number."""
    moments = result.statistics.get("moments")
    change: float | None = None if moments is None else moments.rel_change
    return change
