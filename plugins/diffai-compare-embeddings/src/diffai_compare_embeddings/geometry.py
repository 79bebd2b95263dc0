"""Whether two sets of points have the same geometry, whatever their axes: measures with a null that is 0 or told.

Biased CKA and CCA are not here: for as many columns as rows, unrelated tables reach 0.5 and 1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Reals = NDArray[np.float64]

_FEWEST_ROWS = 4
WIDEST = 2048
"""Columns up to which axes are aligned and ranks are taken; singular values of wider products take minutes."""


def debiased_cka(old: Reals, new: Reals) -> float | None:
    """Return the linear CKA of points in the same order, by the unbiased HSIC of Song et al. (2012).

    1 for the same geometry up to rotation and scale; 0 for unrelated points, whatever their number.

    Args:
        old: Shape ``(points, columns)``.
        new: The same points in the other model; may have other columns.
    """
    if len(old) < _FEWEST_ROWS:
        return None
    old, new = old - old.mean(axis=0), new - new.mean(axis=0)
    own_old, own_new = _hsic(old, old), _hsic(new, new)
    if not own_old > 0 or not own_new > 0:
        return None
    return float(_hsic(old, new) / np.sqrt(own_old * own_new))


def _hsic(one: Reals, other: Reals) -> float:
    n = len(one)
    squares = np.einsum("ij,ij->i", one, one), np.einsum("ij,ij->i", other, other)
    sums = one @ one.sum(axis=0) - squares[0], other @ other.sum(axis=0) - squares[1]
    product = _squared_product(one, other) - float(squares[0] @ squares[1])
    means = float(sums[0].sum() * sums[1].sum()) / ((n - 1) * (n - 2))
    return product + means - 2 * float(sums[0] @ sums[1]) / (n - 2)


def _squared_product(one: Reals, other: Reals) -> float:
    """Return the sum of products of both Gram matrices, by whichever side is shorter."""
    if max(one.shape[1], other.shape[1]) <= len(one):
        return float(np.square(one.T @ other).sum())
    if one is other:
        return float(np.square(one @ one.T).sum())
    return float(((one @ one.T) * (other @ other.T)).sum())


class Alignment(NamedTuple):
    """How well one set of points lies on the other after the best rotation.

    Args:
        residual: ``‖X R - Y‖ / ‖Y‖`` of centred points, of equal size as a whole; 0 for a rotated copy.
        null: The same where the points of Y are in another order: what unrelated points of this spread give.
    """

    residual: float
    null: float


def procrustes(old: Reals, new: Reals) -> Alignment | None:
    """Return the residual of the orthogonal Procrustes alignment of centred points scaled to norm 1."""
    if max(old.shape[1], new.shape[1]) > WIDEST:
        return None
    sides = [points - points.mean(axis=0) for points in (old, new)]
    norms = [float(np.linalg.norm(points)) for points in sides]
    if not all(norms):
        return None
    one, other = (points / norm for points, norm in zip(sides, norms, strict=True))
    shuffled = other[np.random.default_rng(0).permutation(len(other))]
    return Alignment(_residual(one, other), _residual(one, shuffled))


def _residual(one: Reals, other: Reals) -> float:
    nuclear = float(np.linalg.svd(one.T @ other, compute_uv=False).sum())
    return float(np.sqrt(max(2 - 2 * min(nuclear, 1.0), 0.0)))


def effective_rank(points: Reals) -> float | None:
    """Return exp of the entropy of the squared singular values of centred points: how many directions they fill."""
    centred = points - points.mean(axis=0)
    short = min(centred.shape)
    if short > WIDEST:
        return None
    gram = centred.T @ centred if centred.shape[1] == short else centred @ centred.T
    values = np.clip(np.linalg.eigvalsh(gram), 0.0, None)
    total = float(values.sum())
    if not total > 0:
        return None
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


class Neighbours(NamedTuple):
    """How far the nearest neighbours agree.

    Args:
        overlap: Mean share of the ``k`` nearest points of a query that are its nearest on the other side too.
        null: What an unrelated table gives: ``k`` over the number of other points.
        similarity: Correlation of all cosines looked at (representational similarity).
        k: Neighbours of each query.
        n_queries: Queries.
        n_points: Points among which neighbours are sought, the query among them.
        by_query: Overlap of each query.
    """

    overlap: float
    null: float
    similarity: float | None
    k: int
    n_queries: int
    n_points: int
    by_query: Reals


def neighbours(old: Reals, new: Reals, n_queries: int, k: int) -> Neighbours | None:
    """Compare the nearest neighbours, by cosine after the mean was taken away, of evenly spaced points.

    Args:
        old: The points in OLD, shape ``(points, columns)``.
        new: The same points in NEW.
        n_queries: Points whose neighbours are looked at, at most.
        k: Neighbours of each.
    """
    n = len(old)
    k = min(k, (n - 1) // 2)
    if k < 1:
        return None
    queries = np.arange(min(n, n_queries)) * n // min(n, n_queries)
    cosines = [_cosines(points, queries) for points in (old, new)]
    nearest = [_nearest(found, k) for found in cosines]
    hits = np.array([len(np.intersect1d(*both)) for both in zip(*nearest, strict=True)], dtype=np.float64)
    others = np.isfinite(cosines[0])
    flat = [found[others] for found in cosines]
    spread = [float(found.std()) for found in flat]
    related = float(np.corrcoef(flat[0], flat[1])[0, 1]) if min(spread) > 1e-12 else None  # noqa: PLR2004 - rounding of cosines
    shares = hits / k
    return Neighbours(float(shares.mean()), k / (n - 1), related, k, len(queries), n, shares)


def _cosines(points: Reals, queries: NDArray[np.intp]) -> Reals:
    """Return cosines of queries to all points, minus infinity to themselves; rows of zeros are at a right angle."""
    centred = points - points.mean(axis=0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    units = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    found: Reals = units[queries] @ units.T
    found[np.arange(len(queries)), queries] = -np.inf
    return found


def _nearest(cosines: Reals, k: int) -> NDArray[np.intp]:
    return np.argpartition(-cosines, k - 1, axis=1)[:, :k]
