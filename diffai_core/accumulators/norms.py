"""Sums of magnitudes and dot products (A3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from diffai_core.accumulators.centred import scale_of, scaled_down, unscaled
from diffai_core.accumulators.fold import NumericFold
from diffai_core.accumulators.sums import dot, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.workspace import Workspace
    from diffai_core.layout import PairLayout


class Norms(NamedTuple):
    """Sums over the pairs of values that are both finite; ``None`` where float64 cannot hold one.

    Args:
        n: Number of pairs; a complex element counts as two.
        l1_old: Σ|A|.
        l1_new: Σ|B|.
        l1_delta: Σ|B - A|.
        dot: Σ A·B.
        delta_dot_old: Σ (B - A)·A.
    """

    n: int
    l1_old: float | None
    l1_new: float | None
    l1_delta: float | None
    dot: float | None
    delta_dot_old: float | None

    @property
    def mean_abs_diff(self) -> float | None:
        """Mean ``|new - old|``; ``None`` without pairs."""
        return self.l1_delta / self.n if self.n and self.l1_delta is not None else None


class _Sum(NamedTuple):
    """``value * 2**exponent``."""

    value: float = 0.0
    exponent: int = 0

    def plus(self, other: _Sum) -> _Sum:
        if self.exponent == other.exponent:
            return _Sum(self.value + other.value, self.exponent)
        if not self.value or not other.value:
            return self if self.value else other
        small, large = sorted((self, other), key=lambda s: s.exponent)
        return _Sum(float(np.ldexp(small.value, small.exponent - large.exponent)) + large.value, large.exponent)


_State = tuple[int, tuple[_Sum, ...]]


class NormsFold(NumericFold[_State, Norms]):
    """Gathers :class:`Norms`."""

    def empty(self, _layout: PairLayout) -> _State:
        """See :meth:`NumericFold.empty`."""
        return 0, (_Sum(),) * 5

    def add(self, state: _State, block: Block) -> _State:
        """See :meth:`NumericFold.add`."""
        return self.join(state, (block.n_finite, _sums(block))) if block.n_finite else state

    def join(self, left: _State, right: _State) -> _State:
        """See :meth:`NumericFold.join`."""
        return left[0] + right[0], tuple(a.plus(b) for a, b in zip(left[1], right[1], strict=True))

    def result(self, state: _State) -> Norms:
        """See :meth:`NumericFold.result`."""
        l1_old, l1_new, l1_delta, dot, delta_dot_old = (unscaled(*part) for part in state[1])
        return Norms(state[0], l1_old, l1_new, l1_delta, dot, delta_dot_old)


class _Factor(NamedTuple):
    values: NDArray[np.float64]
    exponent: int


def _sums(block: Block) -> tuple[_Sum, ...]:
    workspace = block.workspace
    old = _factor(block, "scaled-old", block.paired_old)
    l1_old = _l1(old, workspace)
    if block.same:
        return l1_old, l1_old, _Sum(), _dot(old, old), _Sum()
    new = _factor(block, "scaled-new", block.paired_new)
    delta = _factor(block, "scaled-delta", block.delta, block.delta_exponent)
    return l1_old, _l1(new, workspace), _l1(delta, workspace), _dot(old, new), _dot(delta, old)


def _factor(block: Block, slot: str, values: NDArray[np.float64], exponent: int = 0) -> _Factor:
    """Return values whose products stay inside float64, and the power of two of their unit."""
    if not (block.old.double or block.new.double):
        return _Factor(values, exponent)
    shift = scale_of(float(np.minimum.reduce(values)), float(np.maximum.reduce(values)))
    return _Factor(scaled_down(values, shift, block.workspace, slot), shift + exponent)


def _l1(factor: _Factor, workspace: Workspace) -> _Sum:
    sizes = np.abs(factor.values, out=workspace.float64("sizes", factor.values.size))
    return _Sum(total(sizes), factor.exponent)


def _dot(left: _Factor, right: _Factor) -> _Sum:
    return _Sum(dot(left.values, right.values), left.exponent + right.exponent)
