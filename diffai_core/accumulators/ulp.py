"""How far values moved in units in the last place, and which bits flipped (A8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_core.accumulators.fold import NumericFold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Side
    from diffai_core.dtypes import DType
    from diffai_core.layout import PairLayout

_UNSIGNED = frozenset(("float8_e8m0fnu",))
"""Float types without a sign bit."""

_PIECE = 8192
"""Pairs taken up at a time."""


class Ulp(NamedTuple):
    """Distances between the bit patterns of equal dtype, counted over the pairs without NaN.

    The distance is the number of representable values from OLD to NEW, so 1 for neighbours; both zeros are one value.
    Integers are their own distance. Both parts of complex elements count.

    Args:
        n: Number of pairs.
        log2_distance: int64, shape ``(2, width + 1)``: pairs by bit length of the distance (0 for none, 1 for 1 ULP,
            2 for 2 and 3 ...), where NEW is below OLD (row 0) and elsewhere (row 1).
        popcount: int64, shape ``(width + 1,)``: pairs by number of bits that differ.
        ulp_max: Largest distance.
        sign_flips: Pairs of opposite sign, neither of them 0.
    """

    n: int
    log2_distance: NDArray[np.int64]
    popcount: NDArray[np.int64]
    ulp_max: int
    sign_flips: int

    @property
    def popcount1_share(self) -> float | None:
        """Share of the pairs with other bits that differ in one bit only; ``None`` if no pair differs."""
        n_differ = int(self.popcount[1:].sum())
        return int(self.popcount[1]) / n_differ if n_differ else None

    def ulp_bounds(self, q: float) -> tuple[int, int] | None:
        """Return the least and the greatest distance that the quantile ``q`` (0 to 1) can be; ``None`` without pairs.

        Example:
            ``ulp_bounds(0.5) == (4, 7)`` says that the median is between 4 and 7 units in the last place.
        """
        if not self.n:
            return None
        last = np.cumsum(self.log2_distance.sum(axis=0))
        length = int(np.searchsorted(last, int(q * (self.n - 1)), side="right"))
        return (1 << length) >> 1, min((1 << length) - 1, self.ulp_max)


@dataclass
class UlpState:
    """The fields of :class:`Ulp` so far."""

    n: int
    log2_distance: NDArray[np.int64]
    popcount: NDArray[np.int64]
    ulp_max: int = 0
    sign_flips: int = 0


class UlpFold(NumericFold[UlpState, Ulp]):
    """Gathers :class:`Ulp`; for two numeric tensors of equal dtype other than bool."""

    def applies(self, layout: PairLayout) -> bool:
        """Whether bits can be compared."""
        return has_order(layout)

    def empty(self, layout: PairLayout) -> UlpState:
        """See :meth:`NumericFold.empty`."""
        width = part_width(layout.old_dtype)
        return UlpState(0, np.zeros((2, width + 1), np.int64), np.zeros(width + 1, np.int64))

    def add(self, state: UlpState, block: Block) -> UlpState:
        """See :meth:`NumericFold.add`."""
        if block.same:
            return _add_unchanged(state, count_without_nan(block.old))
        for old, new in pieces_without_nan(block):
            _add_pairs(state, old, new, block.layout.old_dtype)
        state.sign_flips += _count_sign_flips(block.old, block.new)
        return state

    def join(self, left: UlpState, right: UlpState) -> UlpState:
        """See :meth:`NumericFold.join`."""
        left.n += right.n
        left.log2_distance += right.log2_distance
        left.popcount += right.popcount
        left.ulp_max = max(left.ulp_max, right.ulp_max)
        left.sign_flips += right.sign_flips
        return left

    def result(self, state: UlpState) -> Ulp:
        """See :meth:`NumericFold.result`."""
        return Ulp(state.n, state.log2_distance, state.popcount, state.ulp_max, state.sign_flips)


def has_order(layout: PairLayout) -> bool:
    """Whether both sides are numbers of one dtype that can be counted in order."""
    return layout.measurable and layout.old_dtype == layout.new_dtype and layout.old_dtype.kind != "bool"


def part_width(dtype: DType) -> int:
    """Return the bits in which one number of ``dtype`` is held in memory: whole bytes, a complex element in parts."""
    return max(dtype.bits // (2 if dtype.kind == "complex" else 1), 8)


def ordinals(bits: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """Return signed integers of the width of ``bits`` that count the representable values in order.

    Both zeros are 0, except that types without a sign start at the least integer.
    """
    width = 8 * bits.itemsize
    if dtype.kind == "int":
        return bits.view(f"i{bits.itemsize}")
    if dtype.kind == "uint" or dtype.name in _UNSIGNED:
        return np.asarray(bits ^ bits.dtype.type(1 << (width - 1))).view(f"i{bits.itemsize}")
    unused = width - dtype.bits if dtype.bits < 8 else 0  # noqa: PLR2004 - a byte
    signed = (bits << unused).view(f"i{bits.itemsize}")
    negative = signed >> (width - 1)
    sizes = signed & np.iinfo(signed.dtype).max
    return np.asarray(((sizes ^ negative) - negative) >> unused)


def bit_lengths(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bit length of unsigned integers: 0 for 0, 1 for 1, 2 for 2 and 3 ..."""
    if numbers.itemsize < 8:  # noqa: PLR2004 - exact in float64
        exponents = numbers.astype(np.float64).view(np.int64) >> 52
        return np.asarray(np.maximum(exponents - 1022, 0))
    upper = bit_lengths((numbers >> 32).astype(np.uint32))
    return np.where(upper, 32 + upper, bit_lengths(numbers.astype(np.uint32)))


def _add_pairs(state: UlpState, old: NDArray[Any], new: NDArray[Any], dtype: DType) -> None:
    """Add pairs of bits."""
    before, after = ordinals(old, dtype), ordinals(new, dtype)
    steps = after - before  # modulo the width
    fell = (after < before).astype(steps.dtype)
    distances = ((steps ^ -fell) + fell).view(old.dtype)
    flipped = (old ^ new) & old.dtype.type(min((1 << dtype.bits) - 1, np.iinfo(old.dtype).max))
    width = state.popcount.size
    codes = (bit_lengths(distances) + width * (1 - fell)) * width + np.bitwise_count(flipped)
    table = np.bincount(codes, minlength=2 * width * width).reshape(2, width, width)
    state.n += old.size
    state.log2_distance += table.sum(axis=2)
    state.popcount += table.sum(axis=(0, 1))
    state.ulp_max = max(state.ulp_max, int(distances.max()))


def _add_unchanged(state: UlpState, n: int) -> UlpState:
    state.n += n
    state.log2_distance[1, 0] += n
    state.popcount[0] += n
    return state


def count_without_nan(side: Side) -> int:
    """Return the number of values that are not NaN."""
    return side.numbers.size - (0 if side.finite is None else int(np.isnan(side.numbers).sum()))


def pieces_without_nan(block: Block) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the bits of pairs without NaN, few enough at a time for what is computed of them to stay in the cache."""
    old, new = block.old.part_bits, block.new.part_bits
    if block.finite is not None:
        keep = ~(np.isnan(block.old.numbers) | np.isnan(block.new.numbers))
        old, new = old[keep], new[keep]
    for start in range(0, old.size, _PIECE):
        yield old[start : start + _PIECE], new[start : start + _PIECE]


def _count_sign_flips(old: Side, new: Side) -> int:
    fell = (old.numbers > 0) & (new.numbers < 0)
    return int(np.count_nonzero(fell | ((old.numbers < 0) & (new.numbers > 0))))
