"""Sums over a state tensor: from the pass where it measured them, else from a second look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import Relation, regroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from diffai_core.plugin import Comparison, PairResult, TensorRef

_CHUNK = 1 << 18
_BLOCK_BYTES = 1 << 22
_MAX_ROW = 1 << 22
"""Elements of the longest row that is summed."""


class Sums(NamedTuple):
    """Sums over the finite elements of one tensor.

    Args:
        n: All elements.
        n_finite: Those that are neither NaN nor infinite.
        n_zero: Those that are 0.
        total: Σx.
        squares: Σx².
    """

    n: int
    n_finite: int
    n_zero: int
    total: float
    squares: float


class SideSums:
    """The sums of one side's tensors by name.

    Args:
        comparison: The comparison after its pass.
        side: ``old`` or ``new``.
    """

    def __init__(self, comparison: Comparison, side: str) -> None:
        self._comparison = comparison
        self._side = side
        pairs = ((getattr(result.pair, side), result) for result in comparison.results)
        self.results = {ref.name: result for ref, result in pairs if ref is not None}
        self._known: dict[str, Sums] = {}

    def measure(self, refs: Iterable[TensorRef]) -> None:
        """Make sure that the sums of these tensors are known; those that the pass has not measured are read."""
        missing = []
        for ref in refs:
            if ref.name in self._known:
                continue
            result = self.results.get(ref.name)
            found = None if result is None else _from_pass(result, self._side)
            if found is None:
                missing.append(ref)
            else:
                self._known[ref.name] = found
        read = self._comparison.map(sums_of, missing, nbytes=_nbytes)
        self._known |= {ref.name: sums for ref, sums in zip(missing, read, strict=True)}

    def adopt(self, other: SideSums, refs: Iterable[TensorRef]) -> None:
        """Take over what the other side knows of tensors that are identical on both."""
        for ref in refs:
            result = self.results.get(ref.name)
            if result is None or result.relation is not Relation.IDENTICAL or not result.same_shape:
                continue
            twin = getattr(result.pair, other._side)
            if twin is not None and twin.name in other._known:
                self._known[ref.name] = other._known[twin.name]

    def of(self, ref: TensorRef) -> Sums:
        """Return the sums of a tensor that :meth:`measure` has seen."""
        return self._known[ref.name]


def _nbytes(ref: TensorRef) -> int:
    return ref.nbytes


def _from_pass(result: PairResult, side: str) -> Sums | None:
    moments, counts = result.statistics.get("moments"), result.statistics.get("counts")
    if moments is None or counts is None:
        return None
    centred, count = getattr(moments, side), getattr(counts, side)
    if centred.norm is None:
        return None
    total = 0.0 if centred.mean is None else centred.mean * centred.n
    return Sums(count.n, count.n_finite, count.n_zero, total, _squared(centred.norm))


def _squared(value: float) -> float:
    return value * value  # inf where that is beyond float64, as `**` is not


def sums_of(ref: TensorRef) -> Sums:
    """Read a tensor and return its sums, taken in chunks that do not depend on how it is read."""
    import numpy as np

    n = n_finite = n_zero = 0
    totals: list[float] = []
    squares: list[float] = []
    for block in regroup(ref.blocks(_BLOCK_BYTES), _CHUNK, ref.dtype):
        values = as_floats(block)
        finite = np.isfinite(values)
        n, n_finite = n + len(values), n_finite + int(finite.sum())
        n_zero += int((values == 0).sum())
        kept = values if finite.all() else values[finite]
        with np.errstate(all="ignore"):
            totals.append(float(kept.sum()))
            squares.append(float((kept * kept).sum()))
    return Sums(n, n_finite, n_zero, exact_sum(totals), exact_sum(squares))


def exact_sum(values: Iterable[float]) -> float:
    """Return the sum without rounding in between; infinite or NaN where it is beyond float64."""
    known = list(values)
    try:
        return math.fsum(known)
    except (OverflowError, ValueError):  # of finite numbers, or of infinities of both signs
        return sum(known)


def as_floats(block: NDArray[Any]) -> NDArray[Any]:
    """Return the elements as float64 (real parts of complex numbers are not taken: those are no second moments)."""
    import numpy as np

    return np.asarray(block, np.float64)


def dot_of(refs: tuple[TensorRef, TensorRef]) -> float:
    """Read two tensors of one shape and return their product, over the pairs of finite elements."""
    import numpy as np

    left, right = (regroup(ref.blocks(_BLOCK_BYTES), _CHUNK, ref.dtype) for ref in refs)
    parts = []
    for a, b in zip(left, right, strict=True):
        first, second = as_floats(a), as_floats(b)
        both = np.isfinite(first) & np.isfinite(second)
        with np.errstate(all="ignore"):
            parts.append(float((first[both] * second[both]).sum()))
    return exact_sum(parts)


class RowSums(NamedTuple):
    """Sums of each row of a tensor, NaN where a row has an element that is not finite.

    Args:
        sums: Σx of each row, by number.
    """

    sums: tuple[float, ...]


def row_sums_of(ref: TensorRef) -> RowSums:
    """Read a tensor of two dimensions or more and return the sum of each row (its first dimension)."""
    import numpy as np

    length = math.prod(ref.shape[1:])
    rows = max(_CHUNK // length, 1)
    found: list[NDArray[Any]] = []
    for block in regroup(ref.blocks(_BLOCK_BYTES), rows * length, ref.dtype):
        values = as_floats(block).reshape(-1, length)
        with np.errstate(invalid="ignore", over="ignore"):
            found.append(values.sum(axis=1))
    return RowSums(tuple(map(float, np.concatenate(found))) if found else ())


def has_rows(ref: TensorRef) -> bool:
    """Whether a tensor has rows that can be summed: several, none of them empty or too long."""
    return len(ref.shape) > 1 and ref.shape[0] > 1 and 0 < math.prod(ref.shape[1:]) <= _MAX_ROW


def rows_of(refs: Iterable[TensorRef], comparison: Comparison) -> Iterator[RowSums]:
    """Read tensors and yield the sums of their rows, in order."""
    return comparison.map(row_sums_of, list(refs), nbytes=_nbytes)
