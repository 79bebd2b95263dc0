"""How far each row of an embedding moved, in one run through both tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_embeddings.reading import evenly_spaced, pieces, rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_embeddings.tables import Table

    Reals = NDArray[np.float64]

LARGEST = 1e100
"""Numbers beyond this are left out like infinite ones: their products are beyond float64."""
MEAN_INITIALISED = 0.05
"""A new row counts as the mean of the old ones if it is no further from it than this share of a row's norm."""
_MOST_ADDED = 4096
_MOST_LISTED = 10


class Rows(NamedTuple):
    """What happened to each common row.

    Args:
        rel: ``‖new - old‖ / ‖old‖``; NaN where the old row is all zero or a number is not finite.
        one_minus_cos: 1 - cosine, exact near 0; NaN where a row is all zero or a number is not finite.
        changed: Whether any value differs.
        old_norm: Norm of the old row; NaN where a number is not finite.
        old_mean: Mean of the finite old rows, shape ``(width,)``.
    """

    rel: Reals
    one_minus_cos: Reals
    changed: NDArray[np.bool_]
    old_norm: Reals
    old_mean: Reals


def run_through(table: Table) -> Rows:
    """Return what happened to each row; reads both tables once, some megabytes at a time."""
    n, width = table.n_common, table.width
    rel, far, norm = (np.full(n, np.nan) for _ in range(3))
    changed = np.zeros(n, dtype=np.bool_)
    total, n_finite = np.zeros(width), 0
    for piece in pieces(table):
        here = slice(piece.start, piece.start + len(piece.old))
        old, new = piece.old, piece.new
        changed[here] = np.asarray((old != new) & ~(np.isnan(old) & np.isnan(new))).any(axis=1)
        finite = usable(old) & usable(new)
        old, new = np.where(finite[:, None], old, 0.0), np.where(finite[:, None], new, 0.0)
        norms = [np.linalg.norm(rows, axis=1) for rows in (old, new, new - old)]
        norm[here] = np.where(finite, norms[0], np.nan)
        rel[here] = _over(norms[2], np.where(finite, norms[0], 0.0))
        far[here] = _over(norms[2] ** 2 - (norms[1] - norms[0]) ** 2, 2 * norms[0] * norms[1])
        total, n_finite = total + old.sum(axis=0), n_finite + int(finite.sum())
    return Rows(rel, np.clip(far, 0.0, 2.0), changed, norm, total / max(n_finite, 1))


def usable(rows: Reals) -> NDArray[np.bool_]:
    """Return which rows can be calculated with."""
    with np.errstate(invalid="ignore"):
        largest: Reals = np.abs(rows).max(axis=1, initial=0.0)
    good: NDArray[np.bool_] = largest <= LARGEST  # NaN is not
    return good


def of_rows(table: Table, rows: Rows) -> dict[str, Any]:
    """Return the sums over all rows, and those that moved furthest."""
    moved = rows.rel[np.isfinite(rows.rel)]
    turned = rows.one_minus_cos[np.isfinite(rows.one_minus_cos)]
    return {
        "changed_rows": int(rows.changed.sum()),
        "changed_share": float(rows.changed.mean()),
        "row_rel_change": float(np.median(moved)) if moved.size else None,
        "row_rel_change_max": float(moved.max()) if moved.size else None,
        "row_cos": 1 - float(turned.mean()) if turned.size else None,
        "non_finite_rows": int(np.isnan(rows.old_norm).sum()),
        "rows_from_zero": int((rows.changed & (rows.old_norm == 0)).sum()),
        "top_moved": _top(table, rows),
    }


def _top(table: Table, rows: Rows) -> list[dict[str, Any]]:
    """Return the changed rows that moved furthest for their size; of equal ones, the first."""
    order = np.argsort(np.where(np.isfinite(rows.rel) & rows.changed, -rows.rel, np.inf), kind="stable")
    best = [int(place) for place in order[:_MOST_LISTED] if rows.changed[place] and np.isfinite(rows.rel[place])]
    found = []
    for place in best:
        row = int(table.new_row(np.array([place]))[0])
        turned = float(rows.one_minus_cos[place])
        found.append(
            {
                "row": row,
                "token": table.names[row] if row < len(table.names) and table.names[row] else None,
                "rel_change": float(rows.rel[place]),
                "one_minus_cos": turned if np.isfinite(turned) else None,
            }
        )
    return found


def of_added(table: Table, rows: Rows) -> dict[str, Any]:
    """Return how many rows came and went, and whether the new ones are the mean of the old."""
    added = _others(table.new.shape[0], table.new_rows, table.n_common)
    removed = _others(table.old.shape[0], table.old_rows, table.n_common)
    found: dict[str, Any] = {"added_rows": len(added), "removed_rows": len(removed)}
    if not len(added):
        return found
    looked_at = added[evenly_spaced(len(added), _MOST_ADDED)]
    new = rows_of(table.new, looked_at)
    new = new[usable(new)]
    norms = rows.old_norm[np.isfinite(rows.old_norm)]
    typical = float(np.median(norms)) if norms.size else 0.0
    if not typical or not len(new):
        return found
    distances = np.linalg.norm(new - rows.old_mean, axis=1) / typical
    return found | {
        "added_rows_looked_at": len(new),
        "added_from_mean": float(np.median(distances)),
        "mean_initialised_rows": int((distances <= MEAN_INITIALISED).sum()),
        "added_tokens": [table.name(int(row)) for row in added[:_MOST_LISTED]] if table.names else [],
    }


def _others(n_rows: int, common: NDArray[np.intp] | None, n_common: int) -> NDArray[np.intp]:
    if common is None:
        return np.arange(n_common, n_rows, dtype=np.intp)
    alone = np.ones(n_rows, dtype=np.bool_)
    alone[common] = False
    return np.flatnonzero(alone)


def _over(part: Reals, whole: Reals) -> Reals:
    found: Reals = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return found
