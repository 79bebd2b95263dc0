"""How many elements changed (A6)."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.layout import PairLayout


class Changes(NamedTuple):
    """Elements by how they compare; a complex element counts once.

    Args:
        n: All elements.
        n_bit_equal: Stored as the same bits; 0 if the dtypes differ.
        n_changed: Different in value. NaN equals NaN, -0.0 equals 0.0, Inf equals Inf of the same sign.
        n_above_tol: Different in value and not within the tolerance; NaN or Inf on one side never is.
        n_nan_one_side: NaN on exactly one side (among ``n_changed``).
    """

    n: int = 0
    n_bit_equal: int = 0
    n_changed: int = 0
    n_above_tol: int = 0
    n_nan_one_side: int = 0

    @property
    def changed_share(self) -> float | None:
        """``n_changed / n``; ``None`` without elements."""
        return self.n_changed / self.n if self.n else None

    @property
    def n_other_bits(self) -> int:
        """Equal in value though not in bits: signs of zero, payloads of NaN, or another dtype."""
        return self.n - self.n_bit_equal - self.n_changed

    @property
    def identical(self) -> bool:
        """Whether all elements are stored as the same bits."""
        return self.n_bit_equal == self.n

    @property
    def equal(self) -> bool:
        """Whether all elements have the same value."""
        return not self.n_changed

    @property
    def within_tolerance(self) -> bool:
        """Whether all elements are within the tolerance."""
        return not self.n_above_tol


class ChangesFold:
    """Counts changed elements. The only accumulator that also applies to opaque elements."""

    def start(self, _layout: PairLayout) -> Changes:
        """See :meth:`Fold.start`."""
        return Changes()

    def update(self, state: Changes, block: Block) -> Changes:
        """See :meth:`Fold.update`."""
        return self.merge(state, _changes(block)) if block.count else state

    def merge(self, left: Changes, right: Changes) -> Changes:
        """See :meth:`Fold.merge`."""
        return Changes(*map(add, left, right))

    def finish(self, state: Changes) -> Changes:
        """See :meth:`Fold.finish`."""
        return state


def _changes(block: Block) -> Changes:
    count, layout = block.count, block.layout
    if block.same:
        return Changes(count, count)
    n_changed = int(np.count_nonzero(block.changed))
    if not layout.measurable:
        return Changes(count, count - int(np.count_nonzero(block.other_bits)), n_changed, n_changed)
    above = n_changed if layout.tolerance.exact or not n_changed else _count_above(block)
    one_sided = _count_nan_one_side(block) if n_changed and block.finite is not None else 0
    return Changes(count, _count_bit_equal(block, n_changed), n_changed, above, one_sided)


def _count_bit_equal(block: Block, n_changed: int) -> int:
    """Count equal bits without looking where the values already tell."""
    dtype = block.layout.old_dtype
    if n_changed == block.count or dtype != block.layout.new_dtype:
        return 0
    if dtype.kind in ("int", "uint"):
        return block.count - n_changed
    return block.count - int(np.count_nonzero(block.other_bits))


def _count_above(block: Block) -> int:
    """Count changed elements that are not within tolerance."""
    above = block.changed.copy()
    within = _within(block)
    if block.layout.components == 2:  # noqa: PLR2004 - real and imaginary part
        return int(np.count_nonzero(above & ~within))
    above[... if block.finite is None else block.finite] &= ~within
    return int(np.count_nonzero(above))


def _within(block: Block) -> NDArray[np.bool_]:
    """Say which finite pairs, or which complex elements, satisfy ``|new - old| <= atol + rtol * |old|``."""
    tolerance, exponent = block.layout.tolerance, block.delta_exponent
    with np.errstate(over="ignore", invalid="ignore"):
        if block.layout.components == 1:
            distance, size = np.abs(block.delta), np.abs(block.paired_old)
        else:
            old, new = block.old.values, block.new.values
            real, imaginary = (np.ldexp(new[k::2], -exponent) - np.ldexp(old[k::2], -exponent) for k in (0, 1))
            distance, size = np.hypot(real, imaginary), np.hypot(old[0::2], old[1::2])
        limit = np.ldexp(tolerance.atol + tolerance.rtol * size, -exponent)
        within: NDArray[np.bool_] = (distance <= limit) & np.isfinite(distance)
    return within


def _count_nan_one_side(block: Block) -> int:
    old, new = (np.isnan(side.numbers) for side in (block.old, block.new))
    one_sided = old ^ new
    if block.layout.components == 2:  # noqa: PLR2004 - real and imaginary part
        one_sided = one_sided[0::2] | one_sided[1::2]
    return int(np.count_nonzero(one_sided))
