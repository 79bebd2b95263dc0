"""Which bits of the mantissa and which exponents are in use (A7)."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.accumulators.fold import NumericFold

if TYPE_CHECKING:
    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Side
    from diffai_core.accumulators.workspace import Workspace
    from diffai_core.dtypes import DType
    from diffai_core.layout import PairLayout


class MantissaUse(NamedTuple):
    """What the finite values of one side use of their dtype.

    A float32 tensor that was a bfloat16 one uses 7 bits; that was a float16 one, 10 bits and exponents -24 to 15.

    Args:
        n_bits: Stored bits of the mantissa of the dtype.
        mask: Bits of the mantissa that are set in any value.
        min_exponent: ``floor(log2 |x|)`` of the smallest value other than 0; ``None`` if there is none.
        max_exponent: ``floor(log2 |x|)`` of the largest value; ``None`` if all are 0.
    """

    n_bits: int
    mask: int = 0
    min_exponent: int | None = None
    max_exponent: int | None = None

    @property
    def bits_used(self) -> int:
        """Stored bits of the mantissa down to the last one that is set in any value."""
        return self.n_bits - trailing_zeros(self.mask) if self.mask else 0

    def plus(self, later: MantissaUse) -> MantissaUse:
        """Return the use of both."""
        return MantissaUse(
            self.n_bits,
            self.mask | later.mask,
            _either(min, self.min_exponent, later.min_exponent),
            _either(max, self.max_exponent, later.max_exponent),
        )


class Mantissas(NamedTuple):
    """Mantissa bits in use; ``None`` for a side of integers. Both parts of complex elements count.

    Args:
        old: By OLD.
        new: By NEW.
    """

    old: MantissaUse | None
    new: MantissaUse | None


class MantissaFold(NumericFold[Mantissas, Mantissas]):
    """Gathers :class:`Mantissas`."""

    def empty(self, layout: PairLayout) -> Mantissas:
        """See :meth:`NumericFold.empty`."""
        return Mantissas(_unused(layout.old_dtype), _unused(layout.new_dtype))

    def add(self, state: Mantissas, block: Block) -> Mantissas:
        """See :meth:`NumericFold.add`."""
        old = _use(block.old, block.workspace)
        return self.join(state, Mantissas(old, old if block.same else _use(block.new, block.workspace)))

    def join(self, left: Mantissas, right: Mantissas) -> Mantissas:
        """See :meth:`NumericFold.join`."""
        return Mantissas(*(a.plus(b) if a and b else None for a, b in zip(left, right, strict=True)))

    def result(self, state: Mantissas) -> Mantissas:
        """See :meth:`NumericFold.result`."""
        return state


def trailing_zeros(mask: int) -> int:
    """Return the number of zero bits below the lowest one that is set."""
    return (mask & -mask).bit_length() - 1


@cache
def mantissa_bits(dtype: DType) -> int | None:
    """Return the stored bits of the mantissa of ``dtype``, of either part of a complex one; ``None`` for integers."""
    if dtype.kind not in ("float", "complex"):
        return None
    if dtype.kind == "complex" or dtype.name in ("float16", "float32", "float64"):
        return int(np.finfo(dtype.numpy).nmant)
    import ml_dtypes

    return int(ml_dtypes.finfo(dtype.numpy).nmant)  # type: ignore[no-untyped-call]


def _unused(dtype: DType) -> MantissaUse | None:
    n_bits = mantissa_bits(dtype)
    return None if n_bits is None else MantissaUse(n_bits)


def _use(side: Side, workspace: Workspace) -> MantissaUse | None:
    n_bits = mantissa_bits(side.dtype)
    if n_bits is None:
        return None
    parts = side.part_bits if side.part_finite is None else side.part_bits[side.part_finite]
    mask = int(np.bitwise_or.reduce(parts)) & ((1 << n_bits) - 1)
    if not side.largest:
        return MantissaUse(n_bits, mask)
    return MantissaUse(n_bits, mask, _exponent(_smallest(side, workspace)), _exponent(side.largest))


def _smallest(side: Side, workspace: Workspace) -> float:
    """Return the smallest magnitude other than 0; there is one."""
    values = side.values
    sizes = np.abs(values, out=workspace.float64("sizes", values.size))
    with np.errstate(invalid="ignore"):  # NaN, which `fmin` would not pass over if it is a signalling one
        found = np.greater(sizes, 0, out=workspace.mask("found", values.size))
    np.copyto(sizes, np.inf, where=np.logical_not(found, out=found))
    return float(np.minimum.reduce(sizes))


def _exponent(size: float) -> int:
    """Return ``floor(log2(size))``."""
    return math.frexp(size)[1] - 1


def _either(choose: Any, left: int | None, right: int | None) -> int | None:
    known = [value for value in (left, right) if value is not None]
    return choose(known) if known else None
