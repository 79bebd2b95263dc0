"""How well two models use their parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_layers import is_matrix, is_transposed, n_stacked, places

from diffai_compare_architecture.sides import duplicates_of, total, weights_of
from diffai_compare_architecture.spectrum import jobs_of, look
from diffai_compare_architecture.table import table
from diffai_core.plugin import Finding, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_architecture.sides import SideName, Weight
    from diffai_compare_architecture.spectrum import Look
    from diffai_core.plugin import Artifact, Comparison, TensorRef

_KIND = "param_efficiency_analysis"
_MOST_DUPLICATES = 100


@dataclass(frozen=True)
class Side:
    """What was measured of one side.

    Args:
        weights: Its weights, tied storage once.
        looks: What the second look saw, by name of the matrix.
        whole: Names of the matrices that were looked at whole.
        duplicates: Groups of equal tensors.
        trainable: Share of the parameters that the optimizer holds state for; ``None`` where that cannot be told.
        trainable_reason: Why it cannot.
    """

    weights: Sequence[Weight]
    looks: Mapping[str, Look]
    whole: frozenset[str]
    duplicates: Sequence[tuple[str, ...]]
    trainable: float | None
    trainable_reason: str

    @property
    def n_parameters(self) -> int:
        """Elements of all weights."""
        return sum(weight.ref.numel for weight in self.weights)

    @property
    def n_counted(self) -> int:
        """Elements of the weights whose zeros were counted."""
        return sum(weight.ref.numel for weight in self.weights if weight.n_zero is not None)

    @property
    def n_zero(self) -> int | None:
        """Zeros; ``None`` if nothing was counted."""
        return total(weight.n_zero for weight in self.weights) if self.n_counted else None

    @property
    def dead_rows(self) -> int | None:
        """Rows that are all zero; ``None`` if no matrix was measured."""
        known = [weight.dead_rows for weight in self.weights if weight.dead_rows is not None]
        return sum(known) if known else None

    @property
    def n_looked_at(self) -> int:
        """Elements of the matrices that the second look stands for."""
        return sum(weight.ref.numel for weight in self.weights if weight.ref.name in self.looks)

    def share(self, names: Sequence[str] | None = None) -> float | None:
        """Return Σ effective rank over Σ shorter side."""
        chosen = [self.looks[name] for name in (self.looks if names is None else names)]
        return math.fsum(one.effective_rank for one in chosen) / sum(one.side for one in chosen) if chosen else None

    @property
    def random_share(self) -> float | None:
        """What :meth:`share` is for normally distributed matrices of the same shapes."""
        sides = sum(one.side for one in self.looks.values())
        return math.fsum(one.random_share * one.side for one in self.looks.values()) / sides if sides else None

    @property
    def bits(self) -> float | None:
        """Entropy of the bytes in bits for each element, the mean over the elements looked at."""
        sizes = {weight.ref.name: weight.ref.numel for weight in self.weights}
        known = [(sizes[name], one.bits) for name, one in self.looks.items() if one.bits is not None]
        elements = sum(size for size, _ in known)
        return math.fsum(size * bits for size, bits in known) / elements if elements else None

    @property
    def duplicate_parameters(self) -> int:
        """Elements that are stored once more than they had to be."""
        sizes = {weight.ref.name: weight.ref.numel for weight in self.weights}
        return sum(sizes[name] for group in self.duplicates for name in group[1:])


class _Seen(NamedTuple):
    """What is known of a matrix.

    Args:
        look: What was seen; ``None`` if nothing.
        whole: Whether all of it was looked at; ``None`` if nothing was.
    """

    look: Look | None
    whole: bool | None


_UNSEEN = _Seen(None, None)


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary."""
    del options
    old = _side(comparison, "old", None)
    new = _side(comparison, "new", old)
    if not old.weights or not new.weights:
        missing = [name for name, side in (("OLD", old), ("NEW", new)) if not side.weights]
        message = f"needs weights on both sides; none is looked at in {' and '.join(missing)}"
        yield Finding(_KIND, status="not_measurable", level="info", message=message)
        return
    values = _values(old, new)
    sampled = any(len(side.whole) < len(side.looks) for side in (old, new))
    yield Finding(
        _KIND,
        status="estimated" if sampled else "measured",
        level="info",
        values=values,
        null={"efficiency_ratio": 1.0, "erank_share": [old.random_share, new.random_share], "duplicate_params": 0},
        coverage=(old.n_looked_at + new.n_looked_at) / (old.n_parameters + new.n_parameters),
        message=_message(values),
        detail=_table(values),
    )


def _side(comparison: Comparison, name: SideName, other: Side | None) -> Side:
    weights = weights_of(comparison, name)
    matrices = [weight.ref for weight in weights if is_matrix(weight.ref)]
    jobs = jobs_of(matrices)
    known = _same_as_old(comparison, other)
    todo = [job for job in jobs if known.get(job.ref.name, _UNSEEN).whole is not job.whole]
    seen = dict(
        zip((job.ref.name for job in todo), comparison.map(look, todo, nbytes=lambda job: job.ref.nbytes), strict=True)
    )
    found = {job.ref.name: seen[job.ref.name] if job.ref.name in seen else known[job.ref.name].look for job in jobs}
    looks = {key: one for key, one in found.items() if one is not None}
    whole = frozenset(job.ref.name for job in jobs if job.whole and job.ref.name in looks)
    artifact = comparison.old if name == "old" else comparison.new
    share, reason = _trainable(artifact, comparison, sum(weight.ref.numel for weight in weights))
    return Side(weights, looks, whole, duplicates_of(comparison, weights), share, reason)


def _same_as_old(comparison: Comparison, old: Side | None) -> dict[str, _Seen]:
    """Return what is known of matrices of NEW because those of OLD are identical and were looked at."""
    if old is None:
        return {}
    known = {}
    for result in comparison.results:
        pair = result.pair
        if result.relation is Relation.IDENTICAL and pair.old is not None and pair.new is not None and pair.same_shape:
            seen = old.looks.get(pair.old.name)
            if seen is not None and pair.old.stored_as == pair.new.stored_as and _kept_alike(pair.old, pair.new):
                known[pair.new.name] = _Seen(seen, pair.old.name in old.whole)
    return known


def _kept_alike(old: TensorRef, new: TensorRef) -> bool:
    """Whether both are seen as the same matrix: their names say which way round they are stored."""
    return n_stacked(old) == n_stacked(new) and is_transposed(old) is is_transposed(new)


def _trainable(artifact: Artifact, comparison: Comparison, n_parameters: int) -> tuple[float | None, str]:
    """Return the share of the parameters for which the optimizer keeps state, or why that cannot be told."""
    from diffai_lib_training import training_of

    optimizers = training_of(artifact, comparison.keys.keeps).optimizers
    if not optimizers:
        return None, "no optimizer state in the file: give a checkpoint of the training"
    shapes = [state.shape for optimizer in optimizers for state in optimizer.states]
    if any(shape is None for shape in shapes) or not shapes:
        return None, "the optimizer state does not tell the shapes of its parameters"
    if any(optimizer.keys_without_state for optimizer in optimizers):
        return None, "parameters of the optimizer that no gradient reached have no state"
    share = sum(math.prod(shape) for shape in shapes if shape is not None) / n_parameters if n_parameters else 0.0
    return (share, "") if share <= 1 else (None, "the optimizer holds more parameters than the file")


def _values(old: Side, new: Side) -> dict[str, Any]:
    shares = old.share(), new.share()
    reasons = {
        f"trainable_share{n}": side.trainable_reason for n, side in ((1, old), (2, new)) if side.trainable_reason
    }
    return {
        "efficiency_ratio": shares[1] / shares[0] if shares[0] and shares[1] else None,
        "sparse": [old.n_zero, new.n_zero],
        "dense": [_less(old.n_counted, old.n_zero), _less(new.n_counted, new.n_zero)],
        "params": [old.n_parameters, new.n_parameters],
        "erank_share": list(shares),
        "erank_share_random": [old.random_share, new.random_share],
        "dead_rows": [old.dead_rows, new.dead_rows],
        "duplicate_params": [old.duplicate_parameters, new.duplicate_parameters],
        "bits_per_param": [old.bits, new.bits],
        "trainable_share": [old.trainable, new.trainable],
        "sampled_matrices": [len(side.looks) - len(side.whole) for side in (old, new)],
        "not_measurable": reasons,
        "duplicates1": [list(group) for group in old.duplicates[:_MOST_DUPLICATES]],
        "duplicates2": [list(group) for group in new.duplicates[:_MOST_DUPLICATES]],
        "roles1": _roles(old),
        "roles2": _roles(new),
        "tensors1": _tensors(old),
        "tensors2": _tensors(new),
    }


def _less(whole: int, part: int | None) -> int | None:
    return None if part is None else whole - part


def _roles(side: Side) -> list[dict[str, Any]]:
    """Return parameters, zeros and effective rank by role."""
    where = places({weight.ref.name: weight.ref for weight in side.weights})
    groups: dict[str, list[Weight]] = {}
    for weight in side.weights:
        groups.setdefault(where[weight.ref.name].role, []).append(weight)
    return [
        {
            "role": role,
            "params": sum(weight.ref.numel for weight in groups[role]),
            "zeros": total(weight.n_zero for weight in groups[role]),
            "erank_share": side.share([weight.ref.name for weight in groups[role] if weight.ref.name in side.looks]),
        }
        for role in sorted(groups)
    ]


def _tensors(side: Side) -> list[dict[str, Any]]:
    return [
        {
            "name": weight.ref.name,
            "effective_rank": seen.effective_rank,
            "erank_share": seen.effective_rank / seen.side,
            "erank_share_random": seen.random_share,
            "sampled": weight.ref.name not in side.whole,
            "dead_rows": weight.dead_rows,
            "zeros": weight.n_zero,
            "bits_per_param": seen.bits,
        }
        for weight in side.weights
        if (seen := side.looks.get(weight.ref.name)) is not None
    ]


def _message(values: Mapping[str, Any]) -> str:
    old, new = values["erank_share"]
    if old is None or new is None:
        return "no matrix of finite values that could be looked at on one side"
    random = values["erank_share_random"]
    return (
        f"effective rank {100 * old:.3g} % -> {100 * new:.3g} % of what the shapes allow"
        f" (random matrices: {100 * random[0]:.3g} % and {100 * random[1]:.3g} %)"
    )


def _table(values: Mapping[str, Any]) -> tuple[str, ...]:
    labels = {
        "params": "params",
        "sparse": "params that are zero",
        "dead_rows": "rows all zero",
        "duplicate_params": "params stored twice",
        "erank_share": "effective rank share",
        "erank_share_random": "  of random matrices",
        "bits_per_param": "entropy, bits/param",
        "trainable_share": "trainable share",
    }
    return table((label, *values[name]) for name, label in labels.items())
