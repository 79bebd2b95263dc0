"""The 16-bit key of a number, counts of keys, and the histogram they make."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

N_KEYS = 1 << 16
_ALL_KEYS = np.arange(N_KEYS, dtype=np.uint16)
_ALL_KEYS.flags.writeable = False
MINUS_ZERO = np.uint16(0x8000)
"""The key of -0.0: the sign alone."""
_SIGN = 0x8000
_INF = 0x7F80
_SMALLEST_NORMAL = 0x80
_SUBNORMAL_SCALE = 133  # a subnormal float32 keeps multiples of 2**-133 in its upper half
_FLOAT64_SIZE = np.int64(0x7FFFFFFFFFFFFFFF)
_REBIAS = (1023 - 127) << 7
SPARSE = 4096
"""Up to so many numbers, only the keys that occur are kept."""

KeyFormat = Literal["float16", "float32"]
"""Whether a key is all bits of a float16, or the upper half of the bits of a float32 (a bfloat16)."""


class KeyCounts(NamedTuple):
    """How often each key occurs.

    Args:
        keys: uint16, increasing; all 65,536 of them once there are many numbers.
        counts: int64, as long.
    """

    keys: NDArray[np.uint16]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.intp]) -> KeyCounts:
        """Count ``keys``."""
        if keys.size > SPARSE:
            return _dense().with_keys(keys)
        found, counts = np.unique(keys, return_counts=True)
        return cls(found.astype(np.uint16), counts)

    @property
    def is_dense(self) -> bool:
        """Whether all keys are listed."""
        return self.keys.size == N_KEYS

    def with_keys(self, keys: NDArray[np.intp]) -> KeyCounts:
        """Return the counts with those of ``keys`` added; changes the counts in place if they are dense."""
        if not self.is_dense:
            return self.plus(KeyCounts.of(keys))
        np.add.at(self.counts, keys, 1)
        return self

    def plus(self, later: KeyCounts) -> KeyCounts:
        """Return the sum; may change either side in place."""
        if not self.keys.size or not later.keys.size:
            return self if self.keys.size else later
        if later.is_dense or self.is_dense:
            dense, other = (self, later) if self.is_dense else (later, self)
            dense.counts[... if other.is_dense else other.keys] += other.counts
            return dense
        if self.keys.size + later.keys.size > SPARSE:
            return _dense().plus(self).plus(later)
        keys, places = np.unique(np.concatenate([self.keys, later.keys]), return_inverse=True)
        counts = np.zeros(keys.size, np.int64)
        np.add.at(counts, places.reshape(-1), np.concatenate([self.counts, later.counts]))
        return KeyCounts(keys, counts)


def no_keys() -> KeyCounts:
    """Return the counts of nothing."""
    return KeyCounts(np.empty(0, np.uint16), np.empty(0, np.int64))


def _dense() -> KeyCounts:
    return KeyCounts(_ALL_KEYS, np.zeros(N_KEYS, np.int64))


def float32_keys(numbers: NDArray[Any]) -> NDArray[np.intp]:
    """Return the upper half of the float32 bits of ``numbers``, rounded towards zero so that the bins have sharp edges.

    What is beyond float32 gets the key of Inf.
    """
    if numbers.dtype == np.float32:
        return (numbers.view(np.uint32) >> 16).astype(np.intp)
    bits = numbers.astype(np.float64, copy=False).view(np.int64)
    keys = ((bits & _FLOAT64_SIZE) >> 45) - _REBIAS
    np.minimum(keys, _INF, out=keys)
    small = keys < _SMALLEST_NORMAL
    if small.any():
        sizes = np.abs(numbers[small].astype(np.float64, copy=False))
        keys[small] = np.ldexp(sizes, _SUBNORMAL_SCALE).astype(np.int64)
    keys |= (bits >> 48) & _SIGN
    return keys.astype(np.intp, copy=False)


class Histogram:
    """Distribution of the finite values of a series over 16-bit keys.

    Args:
        counts: Occurrences of each key.
        key_format: What a key is.
        exact: Whether each key stands for one value; else for those within 0.4 % of :attr:`values`, where values
            beyond float32 (3.4e38) count as infinite and those below 1e-40 as 0.
    """

    def __init__(self, counts: KeyCounts, key_format: KeyFormat, *, exact: bool) -> None:
        self.key_format = key_format
        self.exact = exact
        keys, occurrences = _by_value(*counts, zeros_are_one=exact)
        self.keys: NDArray[np.uint16] = keys
        """The keys that occur, in order of value."""
        self.counts: NDArray[np.int64] = occurrences
        """How often each occurs."""

    @property
    def n(self) -> int:
        """Number of finite values."""
        return int(self.counts.sum())

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The value of each key, increasing: exact, or the middle of its bin."""
        if self.key_format == "float16":
            return self.keys.view(np.float16).astype(np.float64)
        words = self.keys.astype(np.uint32) << 16
        if not self.exact:
            sizes = words & 0x7FFFFFFF
            words |= np.where((sizes == 0) | (sizes == _INF << 16), np.uint32(0), np.uint32(_SIGN))
        return words.view(np.float32).astype(np.float64)

    @property
    def n_distinct(self) -> int | None:
        """Number of distinct values; ``None`` if keys are not exact."""
        return self.keys.size if self.exact else None

    @property
    def entropy_bits(self) -> float | None:
        """Shannon entropy of the keys in bits per value, at most 16; ``None`` without values."""
        if not self.n:
            return None
        shares = self.counts / self.n
        return float(-np.sum(shares * np.log2(shares))) + 0.0

    def quantiles(self, q: ArrayLike) -> NDArray[np.float64]:
        """Return the quantiles ``q`` (0 to 1), interpolated linearly between neighbours in rank as NumPy does.

        Exact if the keys are, else within 0.4 %; NaN without values.
        """
        shares = np.asarray(q, np.float64)
        if not self.n:
            return np.full(shares.shape, np.nan)
        ranks = shares * (self.n - 1)
        last = np.cumsum(self.counts)
        below, above = (self.values[np.searchsorted(last, edge(ranks), side="right")] for edge in (np.floor, np.ceil))
        with np.errstate(invalid="ignore"):  # both may be infinite
            between = below + (above - below) * (ranks - np.floor(ranks))
        return np.where(below == above, below, between)


def places_by_value(keys: NDArray[np.uint16]) -> NDArray[np.intp]:
    """Return the place of each key among all keys in order of value, that of -0.0 right before that of 0.0."""
    return np.where(keys & MINUS_ZERO, ~keys, keys | MINUS_ZERO).astype(np.intp)


def _by_value(
    keys: NDArray[np.uint16], counts: NDArray[np.int64], *, zeros_are_one: bool
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Return the keys that occur in order of their values, with their counts."""
    found = counts > 0
    keys, counts = keys[found], counts[found]
    n_positive = int(np.searchsorted(keys, _SIGN))
    keys = np.concatenate([keys[n_positive:][::-1], keys[:n_positive]])
    counts = np.concatenate([counts[n_positive:][::-1], counts[:n_positive]])
    zeros = np.flatnonzero(keys & 0x7FFF == 0)
    if zeros_are_one and zeros.size > 1:  # -0.0 stands right before 0.0
        counts[zeros[1]] += counts[zeros[0]]
        keys, counts = np.delete(keys, zeros[0]), np.delete(counts, zeros[0])
    elif zeros_are_one and zeros.size:
        keys[zeros[0]] = 0
    return keys, counts
