"""What weights themselves tell of the learning rate: exactly one step apart all of it, else a bound.

One step of Adam is ``θ' = θ - lr·m̂/(√v̂+ε) - lr·wd·θ`` (the last term with decoupled weight decay), of SGD with momentum
``θ' = θ - lr·buffer``: a regression without noise but that of rounding. Many steps apart the same regression fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import regroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_lib_training import Optimizer, ParameterGroup, ParameterState, Training

    from diffai_core.plugin import Comparison, PairResult, TensorRef

_CHUNK = 1 << 18
_BLOCK_BYTES = 1 << 22
MOST_UNEXPLAINED = 0.01
"""Share of the change that a regression may leave, beyond which its numbers are not told."""


class Step(NamedTuple):
    """One parameter, one step apart.

    Args:
        old: Its tensor before.
        new: Its tensor after.
        first: ``exp_avg`` or ``momentum_buffer`` after the step.
        second: ``exp_avg_sq`` after the step; ``None`` for SGD.
        correction1: 1 - β1^t; 1 for SGD.
        correction2: 1 - β2^t; 1 for SGD.
        eps: What is added to the root.
        group: Index of the parameter group.
    """

    old: TensorRef
    new: TensorRef
    first: TensorRef
    second: TensorRef | None
    correction1: float
    correction2: float
    eps: float
    group: int


class Normal(NamedTuple):
    """Sums of the normal equations of D against the step u and the weight θ, signs turned."""

    uu: float
    ut: float
    tt: float
    ud: float
    td: float
    dd: float


def normal_sums(step: Step) -> Normal:
    """Read one parameter and return the sums of its regression."""
    import numpy as np

    refs = [ref for ref in (step.old, step.new, step.first, step.second) if ref is not None]
    parts: list[tuple[float, ...]] = []
    for blocks in zip(*(regroup(ref.blocks(_BLOCK_BYTES), _CHUNK, ref.dtype) for ref in refs), strict=True):
        old, new, first, *second = (np.asarray(block, np.float64) for block in blocks)
        with np.errstate(all="ignore"):
            u = first / step.correction1
            if second:
                u = u / (np.sqrt(second[0] / step.correction2) + step.eps)
            d = old - new
            keep = np.isfinite(u) & np.isfinite(d)
            u, d, t = u[keep], d[keep], old[keep]
            parts.append(tuple(float((a * b).sum()) for a, b in ((u, u), (u, t), (t, t), (u, d), (t, d), (d, d))))
    return Normal(*map(_sum, zip(*parts, strict=True))) if parts else Normal(*[0.0] * 6)


def _sum(values: Sequence[float]) -> float:
    """Return the sum without rounding in between; not finite where it is beyond float64."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


@dataclass(frozen=True)
class Estimate:
    """Learning rate and weight decay of one group, from the weights.

    Args:
        group: Index of the group.
        rate: Learning rate.
        decay: Decoupled weight decay; ``None`` if the optimizer has none.
        unexplained: Share of Σd² that is left.
    """

    group: int
    rate: float
    decay: float | None
    unexplained: float

    def row(self) -> dict[str, Any]:
        """Return the estimate as a row of a table."""
        return {
            "group": self.group,
            "lr_from_weights": self.rate,
            "weight_decay_from_weights": self.decay,
            "unexplained_share": self.unexplained,
        }


def estimates(comparison: Comparison, old: Training, new: Training) -> list[Estimate]:
    """Return what the weights tell where every parameter is exactly one step further in NEW; else nothing."""
    if len(old.optimizers) != 1 or len(new.optimizers) != 1:
        return []
    optimizer = new.optimizers[0]
    steps = list(_steps(comparison, old.optimizers[0], optimizer))
    sums = comparison.map(normal_sums, steps, nbytes=_nbytes)
    by_group: dict[int, list[Normal]] = {}
    for step, normal in zip(steps, sums, strict=True):
        by_group.setdefault(step.group, []).append(normal)
    decoupled = optimizer.kind == "adamw"
    solved = [_solve(group, parts, decoupled=decoupled) for group, parts in sorted(by_group.items())]
    return [found for found in solved if found is not None]


def _nbytes(step: Step) -> int:
    return sum(ref.nbytes for ref in (step.old, step.new, step.first, step.second) if ref is not None)


def _steps(comparison: Comparison, old: Optimizer, new: Optimizer) -> Iterator[Step]:
    before = {state.name: state for state in old.states if state.name}
    results = {result.pair.new.name: result for result in comparison.results if result.pair.new is not None}
    for state in new.states:
        group, result = new.group_of(state), results.get(state.name)
        if group is None or result is None or result.pair.old is None or not result.same_shape:
            continue
        earlier = before.get(result.pair.old.name)
        step = None if earlier is None else _one_step(earlier, state, group, new.kind, result)
        if step is not None:
            yield step


def _one_step(
    old: ParameterState, new: ParameterState, group: ParameterGroup, kind: str, result: PairResult
) -> Step | None:
    before, after = old.step(), new.step()
    first, second = new.tensors.get("exp_avg"), new.tensors.get("max_exp_avg_sq") or new.tensors.get("exp_avg_sq")
    pair, eps = result.pair, group.eps
    if kind not in {"adam", "adamw"} or before is None or after != before + 1 or new.group is None:
        return None
    if group.betas is None or eps is None or first is None or second is None or pair.old is None or pair.new is None:
        return None
    if any(ref.dtype.kind != "float" or ref.shape != pair.new.shape for ref in (pair.old, pair.new, first, second)):
        return None
    beta1, beta2 = group.betas
    if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
        return None
    return Step(pair.old, pair.new, first, second, 1 - beta1**after, 1 - beta2**after, eps, new.group)


def _solve(group: int, parts: Sequence[Normal], *, decoupled: bool) -> Estimate | None:
    s = Normal(*map(_sum, zip(*parts, strict=True)))
    if not all(map(math.isfinite, s)) or s.uu <= 0 or s.dd <= 0:
        return None
    determinant = s.uu * s.tt - s.ut**2
    if decoupled and determinant > 1e-9 * s.uu * s.tt:
        rate = (s.ud * s.tt - s.td * s.ut) / determinant
        both = (s.td * s.uu - s.ud * s.ut) / determinant
    else:
        rate, both = s.ud / s.uu, 0.0
    left = s.dd - 2 * (rate * s.ud + both * s.td) + rate**2 * s.uu + 2 * rate * both * s.ut + both**2 * s.tt
    unexplained = max(left, 0.0) / s.dd
    decay = both / rate if decoupled and rate else None
    return Estimate(group, rate, decay, unexplained) if unexplained <= MOST_UNEXPLAINED else None


def least_rate_sum(comparison: Comparison, new: Training) -> float | None:
    """Return the least sum of learning rates over the steps between the sides; ``None`` if Adam's settings are unknown.

    A step of Adam moves no element by more than ``lr·max(1, (1-β1)/√(1-β2))`` (Kingma & Ba 2015), and decoupled weight
    decay by ``lr·wd·|θ|`` more.
    """
    results = {result.pair.new.name: result for result in comparison.results if result.pair.new is not None}
    bounds = []
    for optimizer in new.optimizers:
        for state in optimizer.states if optimizer.kind in {"adam", "adamw"} else ():
            group, result = optimizer.group_of(state), results.get(state.name)
            extrema = None if result is None else result.statistics.get("extrema")
            if group is None or group.betas is None or extrema is None or extrema.max_abs_diff is None:
                continue
            beta1, beta2 = group.betas
            if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
                continue
            reach = max(1.0, (1 - beta1) / math.sqrt(1 - beta2))
            if optimizer.kind == "adamw":
                sides = (extrema.old_min, extrema.old_max, extrema.new_min, extrema.new_max)
                reach += (group.weight_decay or 0.0) * max(abs(x) for x in sides if x is not None)
            bounds.append(extrema.max_abs_diff / reach)
    return max(bounds, default=None)
