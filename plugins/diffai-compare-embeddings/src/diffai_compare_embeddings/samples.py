"""Evenly spaced rows of both tables, and what is measured on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_embeddings.geometry import debiased_cka, effective_rank, neighbours, procrustes
from diffai_compare_embeddings.reading import evenly_spaced, rows_of
from diffai_compare_embeddings.rows import usable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_compare_embeddings.tables import Table

    Reals = NDArray[np.float64]

FEWEST = 2048
_WORK = 2e10
_MOST_BYTES = 64 << 20
N_QUERIES = 512
K = 5
"""Neighbours of each query: few, so that small tables have unrelated ones left."""


class Sample(NamedTuple):
    """Rows that stand against each other, without those that hold NaN or Inf.

    Args:
        common: Their numbers among the common rows.
        old: float64, shape ``(rows, width)``.
        new: The same rows of NEW.
    """

    common: NDArray[np.intp]
    old: Reals
    new: Reals


def sample(table: Table, n_rows: int) -> Sample:
    """Return evenly spaced rows; all of them if there are no more than ``n_rows``."""
    common = evenly_spaced(table.n_common, n_rows)
    old = rows_of(table.old, table.old_row(common))
    new = rows_of(table.new, table.new_row(common))
    good = usable(old) & usable(new)
    return Sample(common[good], old[good], new[good])


def affordable_rows(width: int) -> int:
    """Return of how many rows products are taken: at least 2,048, all of a narrow table, at most 64 MiB a side."""
    return max(FEWEST, min(int(_WORK / (6 * width**2)), _MOST_BYTES // (8 * width)))


def geometry(table: Table) -> dict[str, Any]:
    """Return whether the rows lie to each other as before, whatever their axes, with the nulls."""
    if table.identical:
        return _of_identical(table)
    found = sample(table, affordable_rows(table.width))
    near = neighbours(found.old, found.new, N_QUERIES, K)
    alignment = procrustes(found.old, found.new) if len(found.common) > 1 else None
    values: dict[str, Any] = {
        "sampled_rows": len(found.common),
        "cka_debiased": debiased_cka(found.old, found.new),
        "procrustes_residual": None if alignment is None else alignment.residual,
        "neighbour_overlap": None if near is None else near.overlap,
        "neighbour_similarity": None if near is None else near.similarity,
        "k": None if near is None else near.k,
        "n_queries": None if near is None else near.n_queries,
    }
    values |= _of_one(found.old, "_old") | _of_one(found.new, "")
    null = {
        "cka_debiased": 0.0,
        "procrustes_residual": None if alignment is None else alignment.null,
        "neighbour_overlap": None if near is None else near.null,
    }
    return values | {"null": null}


def _of_identical(table: Table) -> dict[str, Any]:
    """Return what follows from equal bytes, and what is of one side alone."""
    rows = rows_of(table.new, evenly_spaced(table.n_common, FEWEST))
    rows = rows[usable(rows)]
    one = _of_one(rows, "")
    same = {"cka_debiased": 1.0, "procrustes_residual": 0.0, "neighbour_overlap": 1.0}
    return {"sampled_rows": len(rows)} | same | {f"{key}_old": value for key, value in one.items()} | one


def _of_one(rows: Reals, suffix: str) -> dict[str, Any]:
    if len(rows) < 2:  # noqa: PLR2004 - a pair
        return {f"anisotropy{suffix}": None, f"effective_rank{suffix}": None}
    return {f"anisotropy{suffix}": anisotropy(rows), f"effective_rank{suffix}": effective_rank(rows)}


def anisotropy(rows: Reals) -> float | None:
    """Return the mean cosine of all pairs of rows (Ethayarajh 2019): near 0 where they point everywhere."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows[norms[:, 0] > 0] / norms[norms[:, 0] > 0]
    n = len(units)
    total = units.sum(axis=0)
    return float((total @ total - n) / (n * (n - 1))) if n > 1 else None
