"""What rows and columns of a matrix tell: dead ones, a tail that is missing or repeated, outlier channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_lib_layers import is_transposed
from diffai_lib_statistics import family_wise_threshold, normal_quantile, robust_z

from diffai_compare_anomalies.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from diffai_compare_anomalies.sides import SideLines, SideTensor

SHOWN = 16
"""Indices that are listed; their number is always given."""

_LEAST_TAIL = 2
_LONG_ROW = 16
_CHANNEL_FACTOR = 3.0
_LEAST_LINES = 16
_WEAK = 0.5
RATE = 0.05
"""Accepted probability of a false alarm among the rows of one matrix."""


def line_flags(tensor: SideTensor) -> Iterator[Flag]:
    """Yield what is wrong with rows and columns of one matrix."""
    rows, columns = tensor.rows, tensor.columns
    if not tensor.can_vary or not tensor.is_matrix:
        return
    if rows is not None:
        tail = _zero_tail(rows)
        if tail:
            yield _tail_flag(tensor, rows, tail)
        yield from _dead(tensor, rows, "row", tail)
        yield from _weak(tensor, rows)
    if columns is not None:
        yield from _dead(tensor, columns, "column", 0)
    yield from _outlier_channels(tensor)


def _zero_tail(rows: SideLines) -> int:
    """Return how many rows at the end are all zero, if they are enough to be more than chance."""
    stop = np.flatnonzero(~rows.all_zero)
    n = len(rows.all_zero) - (int(stop[-1]) + 1 if len(stop) else 0)
    return n if n >= _LEAST_TAIL or (n and rows.length >= _LONG_ROW) else 0


def _tail_flag(tensor: SideTensor, rows: SideLines, tail: int) -> Flag:
    n = len(rows.all_zero)
    padding = tensor.place.role in {"embed", "position", "head"}
    why = "as padding of a vocabulary is" if padding else "as in a file that was cut off and filled up"
    message = f"all zero at the end, {why}: {tail:,} of {n:,} rows"
    more = {"first_row": n - tail, "n_rows": n}
    return Flag(tensor.key, "zero_tail", tail, message, 0, _LEAST_TAIL, "convention", "hint", more)


def _dead(tensor: SideTensor, lines: SideLines, what: str, tail: int) -> Iterator[Flag]:
    zero = np.flatnonzero(lines.all_zero[: len(lines.all_zero) - tail])
    if len(zero) and lines.length > 1:
        n = len(lines.all_zero)
        message = f"all zero: {len(zero):,} of {n:,} {what}s ({_listed(zero)})"
        more = {f"{what}s": zero[:SHOWN].tolist(), f"n_{what}s": n}
        yield Flag(tensor.key, f"zero_{what}s", len(zero), message, 0, 0, "convention", more=more)


def _weak(tensor: SideTensor, rows: SideLines) -> Iterator[Flag]:
    """Rows that are far smaller than the others: neurons that weight decay shrank, or that never grew."""
    norms = np.sqrt(rows.sq)
    alive = np.flatnonzero(norms > 0)
    if len(alive) < _LEAST_LINES or rows.length < _LONG_ROW or norms[alive].min() >= _WEAK * norms.max():
        return  # none is less than half of the median, as a glance at the ends of most matrices tells
    kept = 1 - tensor.counts.n_zero / tensor.counts.n
    if kept * rows.length < _LONG_ROW:
        return
    logs = np.log(norms[alive])
    floor = 1 / math.sqrt(2 * rows.length)  # spread of the logarithm that norms of random rows have anyway
    z = robust_z(logs, floor=0.6745 * floor)
    threshold = family_wise_threshold(len(alive))
    least = min(_WEAK, _least_ratio(len(norms), rows.length, kept))
    low = (z < -threshold) & (logs < np.median(logs) + math.log(least))
    weak = alive[low]
    if len(weak):
        message = f"far smaller than the others: {len(weak):,} of {len(norms):,} rows ({_listed(weak)})"
        more: dict[str, Any] = {"rows": weak[:SHOWN].tolist(), "n_rows": len(norms), "least_z": float(z.min())}
        yield Flag(tensor.key, "weak_rows", len(weak), message, 0, -threshold, "calibrated", "hint", more)


def _least_ratio(n_rows: int, length: int, kept: float) -> float:
    """Return the ratio to the median norm that one of the rows falls below by chance in 5 % of such matrices.

    Of normal values of which a share is kept, the sum of the squares of a row is nearly gamma distributed. It matters
    after pruning without structure: then some rows keep far less than others by chance.
    """
    from scipy.special import gammaincinv

    shape = kept * length / (3 - kept)
    return math.sqrt(float(gammaincinv(shape, RATE / n_rows) / gammaincinv(shape, 0.5)))


def _outlier_channels(tensor: SideTensor) -> Iterator[Flag]:
    """Inputs whose largest weight is far above that of the others, against normal weights of the same shape."""
    if min(tensor.ref.shape) < _LEAST_LINES and len(tensor.ref.shape) == 2:  # noqa: PLR2004 - a matrix
        return
    lines, across = (tensor.rows, tensor.columns) if is_transposed(tensor.ref) else (tensor.columns, tensor.rows)
    if lines is None or across is None or min(lines.length, len(lines.max_abs)) < _LEAST_LINES:
        return
    if lines.max_abs.max() <= _CHANNEL_FACTOR * lines.max_abs.min():
        return
    middle = float(np.median(lines.max_abs))
    if not middle:
        return
    ratios = lines.max_abs / middle
    null = gaussian_peak_ratio(lines.length, len(lines.max_abs))
    found = np.flatnonzero(ratios > _CHANNEL_FACTOR * null)
    if len(found):
        worst = float(ratios.max())
        message = (
            f"outliers among the inputs: {len(found):,} of {len(ratios):,} channels ({_listed(found)}); "
            f"the largest reaches {worst:.1f} times the median channel, where normal weights reach {null:.2f}"
        )
        more = {"channels": found[:SHOWN].tolist(), "n_outliers": len(found), "n_channels": len(ratios)}
        yield Flag(
            tensor.key, "outlier_channels", worst, message, null, _CHANNEL_FACTOR * null, "calibrated", more=more
        )


def gaussian_peak_ratio(length: int, n_lines: int) -> float:
    """Return the median, for normal weights, of the largest line maximum over the median line maximum.

    Example:
        >>> round(gaussian_peak_ratio(4096, 1024), 2)
        1.41
    """

    def quantile_of_peak(share: float, n: int) -> float:
        return -normal_quantile(-math.expm1(math.log(share) / n) / 2)

    return quantile_of_peak(0.5, length * n_lines) / quantile_of_peak(0.5, length)


def repeated_tail(rows: SideLines | None) -> tuple[int, int] | None:
    """Return (rows, period) of a tail whose sums repeat those before it; ``None`` if there is none.

    Rows with equal sums need not be equal: that is for a second look to tell.
    """
    if rows is None or rows.length < _LONG_ROW or len(rows.sq) < 2 * _LEAST_TAIL or rows.sq[-1] == 0:
        return None
    signature = rows.sq + 1j * rows.max_abs
    earlier = np.flatnonzero(signature[:-1] == signature[-1])
    if not len(earlier):
        return None
    period = len(signature) - 1 - int(earlier[-1])
    differs = np.flatnonzero(signature[period:] != signature[:-period])
    n = len(signature) - period - (int(differs[-1]) + 1 if len(differs) else 0)
    return (n, period) if n >= _LEAST_TAIL and _varies(signature[-period:], period) else None


def _varies(block: NDArray[np.complex128], period: int) -> bool:
    """Whether the repeated block is more than one row over and over: rows that were never used are all alike."""
    return period > 1 and bool((block != block[0]).any())


def _listed(indices: NDArray[np.int64]) -> str:
    few = ", ".join(map(str, indices[:5].tolist()))
    return few + (", …" if len(indices) > 5 else "")  # noqa: PLR2004 - what fits in a line
