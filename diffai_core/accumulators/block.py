"""What a fold sees of one leaf: both sides, and what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.accumulators.centred import Centred, Series, centred_sums
from diffai_core.accumulators.computed import computed
from diffai_core.accumulators.numbers import exact_difference
from diffai_core.accumulators.side import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.workspace import Workspace
    from diffai_core.layout import PairLayout

_HALF_RANGE = 2.0**1022
"""The difference of two float64 no larger than this cannot overflow."""


class Block:
    """Consecutive elements of both tensors; everything derived is computed once and shared by all folds.

    A complex element counts as two values, its real and imaginary part. Arrays may lie in the workspace: they are
    valid until the next block is made with it, and must not be written to.

    Args:
        layout: Layout of the two tensors.
        workspace: Scratch memory of this worker.
        start: Index of the first element in the flattened tensor.
        old: Elements of OLD, 1-D, native dtype; any alignment, may be read-only.
        new: Elements of NEW, as many.
        same_bytes: Whether both are known to hold the same bytes; then NEW is not looked at.

    Attributes:
        old: :class:`Side` of OLD.
        new: :class:`Side` of NEW; the same object as ``old`` if ``same``.
        same: Whether both sides are of one dtype and hold the same bytes.
        count: Number of elements.
    """

    def __init__(
        self,
        layout: PairLayout,
        workspace: Workspace,
        start: int,
        old: NDArray[Any],
        new: NDArray[Any],
        same_bytes: bool = False,
    ) -> None:
        as_pairs = layout.components > 1
        self.layout = layout
        self.workspace = workspace
        self.start = start
        self.count = old.size
        self.same = same_bytes and layout.old_dtype == layout.new_dtype
        self.old = Side(old, layout.old_dtype, workspace, "old", as_pairs=as_pairs)
        self.new = self.old if self.same else Side(new, layout.new_dtype, workspace, "new", as_pairs=as_pairs)

    @computed
    def finite(self) -> NDArray[np.bool_] | None:
        """Which values are finite on both sides, shape ``(count * components,)``; ``None`` if all are."""
        old, new = self.old.finite, self.new.finite
        if old is None or new is None or old is new:
            return new if old is None else old
        return old & new

    @computed
    def n_finite(self) -> int:
        """Number of values that are finite on both sides."""
        if self.finite is None:
            return self.count * self.layout.components
        return int(np.count_nonzero(self.finite))

    @computed
    def paired_old(self) -> NDArray[np.float64]:
        """Values of OLD where both sides are finite, shape ``(n_finite,)``."""
        return self._paired(self.old)

    @computed
    def paired_new(self) -> NDArray[np.float64]:
        """Values of NEW where both sides are finite, shape ``(n_finite,)``."""
        return self.paired_old if self.same else self._paired(self.new)

    @computed
    def delta_exponent(self) -> int:
        """Power of two of the unit of :attr:`delta`: 0, or 2 where a difference might overflow float64."""
        if not (self.old.double and self.new.double) or self._any_wide:
            return 0
        return 0 if self.old.largest <= _HALF_RANGE and self.new.largest <= _HALF_RANGE else 2

    @computed
    def delta(self) -> NDArray[np.float64]:
        """NEW - OLD where both sides are finite, shape ``(n_finite,)``, in units of ``2**delta_exponent``.

        Rounded to float64 once, also for integers of 64 bits; 0 only where both values are equal.
        """
        if self._any_wide:
            return exact_difference(self._kept(self.new.numbers), self._kept(self.old.numbers))
        out = self.workspace.float64("delta", self.n_finite)
        if self.delta_exponent:
            return np.subtract(np.ldexp(self.paired_new, -2), np.ldexp(self.paired_old, -2), out=out)
        return np.subtract(self.paired_new, self.paired_old, out=out)

    @computed
    def delta_bounds(self) -> tuple[float, float]:
        """Least and greatest :attr:`delta`; (0, 0) if there is none."""
        if self.same or not self.n_finite:
            return 0.0, 0.0
        low, high = np.minimum.reduce(self.delta), np.maximum.reduce(self.delta)
        return float(low) + 0.0, float(high) + 0.0

    @computed
    def delta_series(self) -> Series | None:
        """NEW - OLD where both sides are finite; ``None`` if there is no such pair or all differences are 0."""
        low, high = self.delta_bounds
        if low == high == 0:
            return None
        return Series(self.delta, low, high, self.old.double or self.new.double, exponent=self.delta_exponent)

    @computed
    def delta_centred(self) -> Centred:
        """Count, mean and centred sum of squares of NEW - OLD where both sides are finite."""
        return centred_sums(self.delta_series, self.workspace) if self.delta_series else Centred(self.n_finite)

    @computed
    def changed(self) -> NDArray[np.bool_]:
        """Which elements differ in value, shape ``(count,)``: NaN equals NaN, and -0.0 equals 0.0."""
        if self.same:
            return np.zeros(self.count, np.bool_)
        if not self.layout.measurable:
            return self.other_bits
        values = self._changed_values()
        return values if self.layout.components == 1 else any_of_row(values.reshape(-1, 2))

    @computed
    def other_bits(self) -> NDArray[np.bool_]:
        """Which elements are not stored as the same bits, shape ``(count,)``; all of them if the dtypes differ."""
        if self.same or self.layout.old_dtype != self.layout.new_dtype:
            return np.full(self.count, not self.same)
        out = self.workspace.mask("other-bits", self.old.bits.size).reshape(self.old.bits.shape)
        np.not_equal(self.old.bits, self.new.bits, out=out)
        return out if out.ndim == 1 else any_of_row(out)

    def _changed_values(self) -> NDArray[np.bool_]:
        old, new = self.old.numbers, self.new.numbers
        out = self.workspace.mask("changed", old.size)
        if self._any_wide:
            return self._changed_integers(out)
        if old.dtype != new.dtype:
            old, new = self.old.values, self.new.values
        np.not_equal(old, new, out=out)
        if self.finite is not None:
            out &= ~(np.isnan(old) & np.isnan(new))
        return out

    def _changed_integers(self, out: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Compare integers too long for float64 with what is on the other side."""
        old, new = self.old.numbers, self.new.numbers
        if old.dtype == new.dtype:
            np.not_equal(old, new, out=out)
            return out
        out[:] = True  # a value that is not finite equals no integer
        out[... if self.finite is None else self.finite] = self.delta != 0
        return out

    @property
    def _any_wide(self) -> bool:
        return (self.old.double and self.old.wide) or (self.new.double and self.new.wide)

    def _paired(self, side: Side) -> NDArray[np.float64]:
        return self._kept(side.values)

    def _kept(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.finite is None else values[self.finite]


def any_of_row(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows of a matrix hold a True."""
    found: NDArray[np.bool_] = np.logical_or.reduce(mask, axis=1)
    return found
