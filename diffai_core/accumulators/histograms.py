"""The distributions of OLD, NEW and NEW - OLD, and how far apart they are (A5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.accumulators.fold import NumericFold
from diffai_core.accumulators.keys16 import (
    MINUS_ZERO,
    N_KEYS,
    SPARSE,
    Histogram,
    KeyCounts,
    KeyFormat,
    float32_keys,
    no_keys,
    places_by_value,
)
from diffai_core.layout import SMALL_STATE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from diffai_core.accumulators.block import Block
    from diffai_core.accumulators.side import Side
    from diffai_core.dtypes import DType
    from diffai_core.layout import PairLayout


_PIECE = 8192
"""Numbers taken up at a time."""


@dataclass(frozen=True)
class Histograms:
    """Distributions of finite values; a complex element counts as two values.

    Histograms of different resolution are not comparable: then, and where a side has no finite value, the
    distances between the sides are ``None``.

    Args:
        old: Values of OLD.
        new: Values of NEW.
        delta: NEW - OLD where both are finite, always in bins of float32.
    """

    old: Histogram
    new: Histogram
    delta: Histogram

    @property
    def ks_d(self) -> float | None:
        """Kolmogorov-Smirnov distance between OLD and NEW, 0 to 1."""
        shares = self._shares
        return float(np.max(np.abs(np.cumsum(shares[1]) - np.cumsum(shares[2])))) if shares else None

    @property
    def w1(self) -> float | None:
        """Wasserstein-1 distance between OLD and NEW, in units of the values; ``None`` if a value is beyond float32."""
        shares = self._shares
        if not shares or not np.isfinite(shares[0]).all():
            return None
        gaps = np.abs(np.cumsum(shares[1]) - np.cumsum(shares[2]))[:-1]
        return float(np.sum(gaps * np.diff(shares[0])))

    @property
    def js_bits(self) -> float | None:
        """Jensen-Shannon divergence of OLD and NEW over the keys, in bits, 0 to 1."""
        shares = self._shares
        if not shares:
            return None
        middle = (shares[1] + shares[2]) / 2
        return max(_entropy(middle) - (_entropy(shares[1]) + _entropy(shares[2])) / 2, 0.0)

    @cached_property
    def _shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
        """All values that occur, increasing, and the share that each has in OLD and in NEW."""
        old, new = self.old, self.new
        if (old.key_format, old.exact) != (new.key_format, new.exact) or not old.n or not new.n:
            return None
        places = [places_by_value(side.keys) for side in (old, new)]
        seen = np.zeros(N_KEYS, np.bool_)
        for of_side in places:
            seen[of_side] = True
        all_places = np.flatnonzero(seen)
        rank = np.empty(N_KEYS, np.intp)
        rank[all_places] = np.arange(all_places.size)
        values, shares = np.empty(all_places.size), np.zeros((2, all_places.size))
        for row, side, of_side in zip(shares, (old, new), places, strict=True):
            values[rank[of_side]] = side.values
            row[rank[of_side]] = side.counts / side.n
        minus_zero, zero = places_by_value(np.array([MINUS_ZERO, 0], np.uint16))
        if seen[minus_zero] and seen[zero]:  # one value, though two keys
            shares[:, rank[zero]] += shares[:, rank[minus_zero]]
            values, shares = np.delete(values, rank[minus_zero]), np.delete(shares, rank[minus_zero], axis=1)
        return values, shares[0], shares[1]


@dataclass
class HistogramsState:
    """How often each key occurs in OLD, in NEW and in NEW - OLD."""

    layout: PairLayout
    counts: list[KeyCounts] = field(default_factory=lambda: [no_keys() for _ in range(3)])


class HistogramsFold(NumericFold[HistogramsState, Histograms]):
    """Gathers :class:`Histograms`."""

    def most_bytes(self, layout: PairLayout, n_elements: int) -> int:
        """See :meth:`NumericFold.most_bytes`; the histograms are made while the counts are still there."""
        n_keys = N_KEYS if n_elements * layout.components > SPARSE else n_elements * layout.components
        return 2 * 3 * n_keys * (2 + 8) + SMALL_STATE_BYTES

    def empty(self, layout: PairLayout) -> HistogramsState:
        """See :meth:`NumericFold.empty`."""
        return HistogramsState(layout)

    def add(self, state: HistogramsState, block: Block) -> HistogramsState:
        """See :meth:`NumericFold.add`."""
        old, new, delta = state.counts
        old = _with_side(old, block.old, block)
        new = _with_side(new, block.old if block.same else block.new, block)
        state.counts = [old, new, _with_delta(delta, block)]
        return state

    def join(self, left: HistogramsState, right: HistogramsState) -> HistogramsState:
        """See :meth:`NumericFold.join`."""
        return HistogramsState(left.layout, [a.plus(b) for a, b in zip(left.counts, right.counts, strict=True)])

    def result(self, state: HistogramsState) -> Histograms:
        """See :meth:`NumericFold.result`."""
        layout = state.layout
        old, new = (
            Histogram(counts, _key_format(dtype, layout), exact=_has_exact_keys(dtype, layout))
            for counts, dtype in zip(state.counts, (layout.old_dtype, layout.new_dtype), strict=False)
        )
        return Histograms(old, new, Histogram(state.counts[2], "float32", exact=False))


def _key_format(dtype: DType, layout: PairLayout) -> KeyFormat:
    """Return what the keys of one side are."""
    return "float16" if dtype.name == "float16" and layout.components == 1 else "float32"


def _has_exact_keys(dtype: DType, layout: PairLayout) -> bool:
    """Whether each key stands for exactly one value: eight significant bits fit into a key."""
    return dtype.bits <= 8 or dtype.name == "bfloat16" or _key_format(dtype, layout) == "float16"  # noqa: PLR2004 - a byte


def _with_side(counts: KeyCounts, side: Side, block: Block) -> KeyCounts:
    if _key_format(side.dtype, block.layout) == "float16":
        return _with_pieces(counts, side.bits if side.finite is None else side.bits[side.finite], _own_bits)
    return _with_pieces(counts, side.numbers if side.finite is None else side.numbers[side.finite], float32_keys)


def _with_delta(counts: KeyCounts, block: Block) -> KeyCounts:
    if block.same:
        return counts.plus(KeyCounts(np.zeros(1, np.uint16), np.array([block.n_finite])))
    delta = block.delta
    if block.delta_exponent:
        with np.errstate(over="ignore"):
            delta = np.ldexp(delta, block.delta_exponent)
    return _with_pieces(counts, delta, float32_keys)


def _with_pieces(
    counts: KeyCounts, numbers: NDArray[Any], keys_of: Callable[[NDArray[Any]], NDArray[np.intp]]
) -> KeyCounts:
    """Count the keys of ``numbers``, so many at a time that the intermediates stay in the cache."""
    for start in range(0, numbers.size, _PIECE):
        counts = counts.with_keys(keys_of(numbers[start : start + _PIECE]))
    return counts


def _own_bits(bits: NDArray[Any]) -> NDArray[np.intp]:
    return bits.astype(np.intp)


def _entropy(shares: NDArray[np.float64]) -> float:
    found = shares[shares > 0]
    return float(-np.sum(found * np.log2(found)))
