"""k-means in float64, the same in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]
    Labels = NDArray[np.intp]

_STEPS = 100
_STARTS = 8


class Clusters(NamedTuple):
    """A division into clusters.

    Args:
        labels: Cluster of each point.
        inertia: Sum of squared distances to the centres.
        centres: Shape ``(clusters, columns)``.
    """

    labels: Labels
    inertia: float
    centres: Reals

    def assign(self, points: Reals) -> Labels:
        """Return the cluster of each of some other points: that of the nearest centre."""
        squares: Reals = np.einsum("ij,ij->i", points, points)
        labels: Labels = _distances(points, squares, self.centres).argmin(axis=1)
        return labels


def k_means(points: Reals, k: int, seed: int) -> Clusters:
    """Return the best of eight runs of Lloyd's algorithm, each from centres drawn apart (k-means++).

    Args:
        points: Shape ``(points, columns)``.
        k: Number of clusters, at most that of points.
        seed: Another one draws other centres.
    """
    squares = np.einsum("ij,ij->i", points, points)
    runs = [_lloyd(points, squares, _draw(points, squares, k, [seed, start])) for start in range(_STARTS)]
    return min(runs, key=lambda run: run.inertia)


def silhouette(points: Reals, labels: Labels) -> float | None:
    """Return the mean silhouette (Rousseeuw 1987): 1 for clusters far apart, about 0 where there are none."""
    counts = np.bincount(labels)
    if np.count_nonzero(counts) < 2:  # noqa: PLR2004 - one cluster is apart from nothing
        return None
    squares = np.einsum("ij,ij->i", points, points)
    distances = np.sqrt(np.clip(squares[:, None] + squares[None] - 2 * points @ points.T, 0.0, None))
    np.fill_diagonal(distances, 0.0)
    sums = distances @ np.eye(len(counts))[labels]
    own = sums[np.arange(len(points)), labels]
    alone = counts[labels] == 1
    inside = own / np.where(alone, 1, counts[labels] - 1)
    means = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)
    means[np.arange(len(points)), labels] = np.inf
    outside = means.min(axis=1)
    larger = np.maximum(inside, outside)
    scores = np.divide(outside - inside, larger, out=np.zeros_like(inside), where=larger > 0)
    return float(np.where(alone, 0.0, scores).mean())


def _draw(points: Reals, squares: Reals, k: int, seed: list[int]) -> Reals:
    """Draw centres among the points, each by its squared distance from those before."""
    rng = np.random.default_rng(seed)
    chosen = [int(rng.integers(len(points)))]
    nearest = _distances(points, squares, points[chosen])[:, 0]
    while len(chosen) < k:
        total = float(nearest.sum())
        if total > 0:
            place = int(np.searchsorted(np.cumsum(nearest), rng.random() * total))
            following = min(place, len(points) - 1)
        else:
            following = int(rng.integers(len(points)))
        chosen.append(following)
        nearest = np.minimum(nearest, _distances(points, squares, points[chosen[-1:]])[:, 0])
    return points[chosen].copy()


def _lloyd(points: Reals, squares: Reals, centres: Reals) -> Clusters:
    labels = np.full(len(points), -1, dtype=np.intp)
    for _ in range(_STEPS):
        distances = _distances(points, squares, centres)
        found = distances.argmin(axis=1)
        if np.array_equal(found, labels):
            break
        labels = found
        counts = np.bincount(labels, minlength=len(centres))
        sums = np.eye(len(centres))[labels].T @ points
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    distances = _distances(points, squares, centres)
    labels = distances.argmin(axis=1)
    return Clusters(labels, float(distances[np.arange(len(points)), labels].sum()), centres)


def _distances(points: Reals, squares: Reals, centres: Reals) -> Reals:
    own = np.einsum("ij,ij->i", centres, centres)
    found: Reals = np.clip(squares[:, None] + own[None] - 2 * points @ centres.T, 0.0, None)
    return found
