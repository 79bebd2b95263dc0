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


class Scaled(NamedTuple):
    """``value * 2**exponent``."""

    value: float = 0.0
    exponent: int = 0

    def plus(self, other: Scaled) -> Scaled:
        """Return the sum of both."""
        if self.exponent == other.exponent:
            return Scaled(self.value + other.value, self.exponent)
        if not self.value or not other.value:
            return self if self.value else other
        small, large = sorted((self, other), key=lambda s: s.exponent)
        return Scaled(float(np.ldexp(small.value, small.exponent - large.exponent)) + large.value, large.exponent)


class NormsState(NamedTuple):
    """How many pairs, and the five sums over them in the order of :class:`Norms`."""

    n: int = 0
    sums: tuple[Scaled, ...] = (Scaled(),) * 5


class NormsFold(NumericFold[NormsState, Norms]):
    """Gathers :class:`Norms`."""

    def empty(self, _layout: PairLayout) -> NormsState:
        """See :meth:`NumericFold.empty`."""
        return NormsState()

    def add(self, state: NormsState, block: Block) -> NormsState:
        """See :meth:`NumericFold.add`."""
        return self.join(state, NormsState(block.n_finite, _sums(block))) if block.n_finite else state

    def join(self, left: NormsState, right: NormsState) -> NormsState:
        """See :meth:`NumericFold.join`."""
        return NormsState(left.n + right.n, tuple(a.plus(b) for a, b in zip(left.sums, right.sums, strict=True)))

    def result(self, state: NormsState) -> Norms:
        """See :meth:`NumericFold.result`."""
        l1_old, l1_new, l1_delta, dot, delta_dot_old = (unscaled(*part) for part in state.sums)
        return Norms(state.n, l1_old, l1_new, l1_delta, dot, delta_dot_old)


class _Factor(NamedTuple):
    values: NDArray[np.float64]
    exponent: int


def _sums(block: Block) -> tuple[Scaled, ...]:
    workspace = block.workspace
    old = _factor(block, "scaled-old", block.paired_old)
    l1_old = _l1(old, workspace)
    if block.same:
        return l1_old, l1_old, Scaled(), _dot(old, old), Scaled()
    new = _factor(block, "scaled-new", block.paired_new)
    delta = _factor(block, "scaled-delta", block.delta, block.delta_exponent)
    return l1_old, _l1(new, workspace), _l1(delta, workspace), _dot(old, new), _dot(delta, old)


def _factor(block: Block, slot: str, values: NDArray[np.float64], exponent: int = 0) -> _Factor:
    """Return values whose products stay inside float64, and the power of two of their unit."""
    if not (block.old.double or block.new.double):
        return _Factor(values, exponent)
    shift = scale_of(float(np.minimum.reduce(values)), float(np.maximum.reduce(values)))
    return _Factor(scaled_down(values, shift, block.workspace, slot), shift + exponent)


def _l1(factor: _Factor, workspace: Workspace) -> Scaled:
    sizes = np.abs(factor.values, out=workspace.float64("sizes", factor.values.size))
    return Scaled(total(sizes), factor.exponent)


def _dot(left: _Factor, right: _Factor) -> Scaled:
    return Scaled(dot(left.values, right.values), left.exponent + right.exponent)
