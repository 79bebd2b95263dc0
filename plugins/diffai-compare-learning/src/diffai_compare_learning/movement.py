"""How far the parameters moved between OLD and NEW, from the statistics of the one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from diffai_lib_layers import is_matrix, places

from diffai_core.plugin import Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from diffai_lib_layers import Place

    from diffai_core.plugin import Comparison, PairResult

ROUNDING = {"float32": 2.5e-8, "float16": 2.07e-4, "bfloat16": 1.66e-3, "float8_e4m3fn": 2.65e-2, "float8_e5m2": 5.3e-2}
"""Relative RMS error of one rounding to the dtype, measured on normally distributed weights."""

RELATED_COS, RELATED_Z = 0.1, 5.0
"""Above both the matrices of two models are related; separate trainings reach a median of .02 and |z| < 4."""

_LEAST_MATRIX = 1024
_NOT_TRAINED = frozenset({"running_mean", "running_var", "num_batches_tracked", "inv_freq", "position_ids"})


class Moved(NamedTuple):
    """How one parameter tensor moved.

    Args:
        key: Its key.
        role: What its name says it is.
        n: Elements.
        identical: Whether it is stored as the same bits.
        old_sq: ‖A‖², 0 where both sides are finite nowhere.
        new_sq: ‖B‖².
        delta_sq: ‖B - A‖².
        dot_move_old: (B - A)·A.
        n_changed: Elements of another value.
        max_abs_diff: Largest change.
        centred_cos: Correlation of the sides; ``None`` if one is constant.
        is_matrix: Whether it is a weight matrix of 1,024 elements or more.
        rounding: Relative error of one rounding to the coarser dtype; ``None`` for other dtypes.
    """

    key: str
    role: str
    n: int
    identical: bool
    old_sq: float
    new_sq: float
    delta_sq: float
    dot_move_old: float
    n_changed: int
    max_abs_diff: float
    centred_cos: float | None
    is_matrix: bool
    rounding: float | None

    @property
    def rel_change(self) -> float | None:
        """‖B - A‖/‖A‖; ``None`` if OLD is all zero."""
        return math.sqrt(self.delta_sq / self.old_sq) if self.old_sq else None

    @property
    def z(self) -> float | None:
        """The correlation in standard deviations of that of unrelated tensors."""
        return None if self.centred_cos is None else self.centred_cos * math.sqrt(self.n)

    def row(self) -> dict[str, Any]:
        """Return plain values for a report."""
        return {
            "tensor": self.key,
            "role": self.role,
            "params": self.n,
            "rel_change": self.rel_change,
            "norm_ratio": math.sqrt(self.new_sq / self.old_sq) if self.old_sq else None,
            "max_abs_diff": self.max_abs_diff,
            "changed_share": self.n_changed / self.n,
            "centred_cos": self.centred_cos,
            "identical": self.identical,
        }


@dataclass(frozen=True)
class Movement:
    """How all parameters moved that both sides have in one shape.

    Args:
        tensors: One record for each; tied storage stands once.
        n_parameters: Parameters of NEW, also those that could not be compared.
    """

    tensors: tuple[Moved, ...]
    n_parameters: int

    @property
    def n(self) -> int:
        """Parameters behind the numbers."""
        return sum(tensor.n for tensor in self.tensors)

    @property
    def coverage(self) -> float:
        """Their share of all parameters of NEW."""
        return min(self.n / self.n_parameters, 1.0) if self.n_parameters else 0.0

    @property
    def rel_change(self) -> float | None:
        """‖B - A‖/‖A‖ over all of them."""
        old = math.fsum(tensor.old_sq for tensor in self.tensors)
        return math.sqrt(math.fsum(tensor.delta_sq for tensor in self.tensors) / old) if old else None

    @property
    def norm_ratio(self) -> float | None:
        """‖B‖/‖A‖ over all of them."""
        old = math.fsum(tensor.old_sq for tensor in self.tensors)
        return math.sqrt(math.fsum(tensor.new_sq for tensor in self.tensors) / old) if old else None

    @property
    def changed_share(self) -> float | None:
        """Share of the parameters of another value."""
        return sum(tensor.n_changed for tensor in self.tensors) / self.n if self.n else None

    @property
    def cos_move_old(self) -> float | None:
        """Cosine between the move and OLD: -1 if all that happened is that the weights shrank."""
        old = math.fsum(tensor.old_sq for tensor in self.tensors)
        delta = math.fsum(tensor.delta_sq for tensor in self.tensors)
        dot = math.fsum(tensor.dot_move_old for tensor in self.tensors)
        return dot / math.sqrt(old) / math.sqrt(delta) if old and delta else None

    @property
    def rounding_ratio(self) -> float | None:
        """The change in units of what one rounding to the dtypes of the changed tensors would change.

        ``None`` if one of them is of a dtype whose rounding is not known; 0 if nothing changed.
        """
        changed = [tensor for tensor in self.tensors if tensor.n_changed]
        if any(tensor.rounding is None for tensor in changed):
            return None
        rounded = math.fsum(tensor.old_sq * (tensor.rounding or 0) ** 2 for tensor in changed)
        if not rounded:
            return None if changed or all(tensor.rounding is None for tensor in self.tensors) else 0.0
        return math.sqrt(math.fsum(tensor.delta_sq for tensor in changed) / rounded)

    @property
    def worst_rounding_ratio(self) -> float | None:
        """The same of the tensor that changed most: a small one may be trained while all others are rounded."""
        ratios = [
            change / tensor.rounding
            for tensor in self.tensors
            if tensor.n_changed and tensor.rounding and (change := tensor.rel_change) is not None
        ]
        return max(ratios, default=None)

    @property
    def lineage(self) -> tuple[float, float, int] | None:
        """Median centred cosine and z of the matrices, and their number; ``None`` without any."""
        cosines = [tensor.centred_cos for tensor in self.tensors if tensor.is_matrix and tensor.centred_cos is not None]
        scores = [tensor.z for tensor in self.tensors if tensor.is_matrix and tensor.z is not None]
        if not cosines:
            return None
        return float(np.median(cosines)), float(np.median(scores)), len(cosines)

    @property
    def related(self) -> bool | None:
        """Whether one side comes from the other; ``None`` if there is no matrix to tell it by.

        Nor is it told where the sizes differ so much that a training which ran away has no more of its start in it.
        """
        found = self.lineage
        if found is None:
            return None
        return (found[0] > RELATED_COS and found[1] > RELATED_Z) or (None if self.is_swamped else False)

    @property
    def is_swamped(self) -> bool:
        """Whether one side is so much larger that what it has of the other is below the least cosine looked for."""
        ratio = self.norm_ratio
        return ratio is not None and not RELATED_COS < ratio < 1 / RELATED_COS

    def by_role(self) -> list[dict[str, Any]]:
        """Return the change of each role."""
        roles: dict[str, list[Moved]] = {}
        for tensor in self.tensors:
            roles.setdefault(tensor.role, []).append(tensor)
        return [_of_role(role, tensors) for role, tensors in sorted(roles.items())]


def _of_role(role: str, tensors: Sequence[Moved]) -> dict[str, Any]:
    part = Movement(tuple(tensors), 0)
    changes = [tensor.rel_change for tensor in tensors if tensor.rel_change is not None]
    return {
        "role": role,
        "n_tensors": len(tensors),
        "params": part.n,
        "rel_change": part.rel_change,
        "median_rel_change": float(np.median(changes)) if changes else None,
        "norm_ratio": part.norm_ratio,
    }


def movement(comparison: Comparison) -> Movement:
    """Return how the parameters moved."""
    roles = places(comparison.new.tensors)
    parameters = list(_once(result for result in comparison.results if is_trained(result, roles)))
    n = sum(result.pair.new.numel for result in parameters if result.pair.new is not None)
    found = [_moved(result, roles) for result in parameters if _is_measured(result)]
    return Movement(tuple(found), n)


def is_trained(result: PairResult, roles: Mapping[str, Place]) -> bool:
    """Whether NEW has the tensor as a parameter; running statistics of batch norms are none, whatever their role."""
    new = result.pair.new
    return new is not None and new.is_parameter and roles[new.name].part not in _NOT_TRAINED


def _once(results: Iterable[PairResult]) -> Iterable[PairResult]:
    seen = set()
    for result in results:
        storage = None if result.pair.new is None else result.pair.new.storage
        if storage not in seen:
            seen.add(storage)
            yield result


def _is_measured(result: PairResult) -> bool:
    new = result.pair.new
    return (
        result.same_shape
        and new is not None
        and new.dtype.kind == "float"
        and new.numel > 0
        and result.statistics.get("moments") is not None
        and result.statistics.get("norms") is not None
    )


def _moved(result: PairResult, roles: Mapping[str, Place]) -> Moved:
    old, new = result.pair.old, result.pair.new
    assert old is not None
    assert new is not None
    moments, norms = result.statistics["moments"], result.statistics["norms"]
    changes, extrema = result.statistics["changes"], result.statistics["extrema"]
    roundings = [ROUNDING.get(ref.stored_as) for ref in (old, new)]
    return Moved(
        key=result.pair.key,
        role=roles[new.name].role,
        n=new.numel,
        identical=result.relation is Relation.IDENTICAL,
        old_sq=_square(moments.old_paired.norm),
        new_sq=_square(moments.new_paired.norm),
        delta_sq=_square(moments.delta.norm),
        dot_move_old=norms.delta_dot_old or 0.0,
        n_changed=changes.n_changed,
        max_abs_diff=extrema.max_abs_diff or 0.0,
        centred_cos=moments.centred_cos,
        is_matrix=new.numel >= _LEAST_MATRIX and is_matrix(new),
        rounding=None if None in roundings else max(value for value in roundings if value is not None),
    )


def _square(norm: float | None) -> float:
    """Return the square of a norm, 0 where float64 cannot hold it: such a tensor has no place in a sum."""
    return norm * norm if norm is not None and norm < 1e150 else 0.0  # noqa: PLR2004 - its square is finite
