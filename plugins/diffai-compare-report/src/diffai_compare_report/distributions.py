"""How the values of the most changed tensors are spread, and how the changes are over all tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from diffai_compare_report.chart import chart
from diffai_compare_report.weigh import change_of, changes_of, is_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from diffai_core.plugin import PairResult

_STEPS_PER_DECADE = 2
_LEAST_DECADE = -9
_MOST_DECADE = 3
_MOST_TENSORS = 6
_LEAST_BINS, _MOST_BINS = 5, 40
_INNER = (0.001, 0.999)
"""Quantiles between which the bins are of one width; the first and the last bin reach to the extremes."""


class Distribution(Protocol):
    """One side of the ``histograms`` of the pass: distinct values, increasing, and how often each occurs."""

    @property
    def values(self) -> NDArray[np.float64]:
        """The values; infinite where they are beyond float32."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each occurs."""


def change_distribution(results: Sequence[PairResult]) -> Iterator[dict[str, Any]]:
    """Yield the chart of how many tensors changed by how much: bins of half a decade."""
    sizes = [change.rel_change for change in changes_of(results) if change.rel_change is not None]
    n_equal = sum(map(is_unchanged, results)) + sizes.count(0.0)
    bins = [_bin(size) for size in sizes if size > 0]
    if not bins and not n_equal:
        return
    rows: list[list[Any]] = [[0.0, 0.0, n_equal]] if n_equal else []
    occupied = range(min(bins, default=0), max(bins, default=-1) + 1)
    rows += [[_edge(number), _edge(number + 1), bins.count(number)] for number in occupied]
    title = "How many tensors changed by how much"
    yield chart("histogram", title, "rel_change", "tensors", "tensors", ["from", "to", "tensors"], rows, scale="log")


def _bin(size: float) -> int:
    number = math.floor(math.log10(size) * _STEPS_PER_DECADE)
    return min(max(number, _LEAST_DECADE * _STEPS_PER_DECADE), _MOST_DECADE * _STEPS_PER_DECADE - 1)


def _edge(number: int) -> float | None:
    """Return the lower edge of a bin; ``None`` for the first, which has none, and above the last."""
    if number <= _LEAST_DECADE * _STEPS_PER_DECADE or number >= _MOST_DECADE * _STEPS_PER_DECADE:
        return None
    return float(10 ** (number / _STEPS_PER_DECADE))


def value_histograms(results: Sequence[PairResult]) -> Iterator[dict[str, Any]]:
    """Yield the distribution of OLD and NEW for each of the tensors that hold most of the change."""
    ranked = [(change, result) for result in results if (change := change_of(result)) is not None]
    ranked.sort(key=lambda item: (-item[0].delta_norm, item[0].key))
    for change, result in ranked[:_MOST_TENSORS]:
        histograms = result.statistics.get("histograms")
        if histograms is None:
            continue
        found = _rows(histograms.old, histograms.new)
        if found:
            yield chart(
                "histogram",
                f"Values of {change.key}",
                "value",
                "share of the values",
                "share of the values",
                ["from", "to", "OLD", "NEW"],
                found,
                tensor=change.key,
                rel_change=change.rel_change,
                ks_d=histograms.ks_d,
            )


def _rows(old: Distribution, new: Distribution) -> list[list[Any]]:
    """Return the bins of both sides; none where a side has no finite value."""
    import numpy as np

    sides = [_finite(old), _finite(new)]
    if not all(values.size for values, _ in sides):
        return []
    edges = _edges(sides)
    heights = [np.histogram(values, edges, weights=counts / counts.sum())[0] for values, counts in sides]
    bounds = edges.tolist()
    return [
        [bounds[number], bounds[number + 1], float(heights[0][number]), float(heights[1][number])]
        for number in range(len(bounds) - 1)
    ]


def _finite(side: Distribution) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    import numpy as np

    finite = np.isfinite(side.values)
    return side.values[finite], side.counts[finite]


def _edges(sides: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> NDArray[np.float64]:
    """Return the edges of the bins: of one width over nearly all values, the first and last as wide as needed."""
    import numpy as np

    low = min(float(values[0]) for values, _ in sides)
    high = max(float(values[-1]) for values, _ in sides)
    inner = [_quantiles(values, counts) for values, counts in sides]
    first, last = min(pair[0] for pair in inner), max(pair[1] for pair in inner)
    if not first < last:
        first, last = low, high
    if not low < high:
        width = abs(low) * 2.0**-20 or 2.0**-20
        return np.array([low - width, low + width])
    n_values = min(int(counts.sum()) for _, counts in sides)
    n_bins = min(max(round(2 * n_values ** (1 / 3)), _LEAST_BINS), _MOST_BINS)  # Rice's rule
    edges = np.linspace(first, last, n_bins + 1)
    return np.unique(np.concatenate([[low], edges[(edges > low) & (edges < high)], [high]]))


def _quantiles(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    import numpy as np

    last = np.cumsum(counts)
    places = np.searchsorted(last, [int(share * (last[-1] - 1)) for share in _INNER], side="right")
    return float(values[places[0]]), float(values[places[1]])
