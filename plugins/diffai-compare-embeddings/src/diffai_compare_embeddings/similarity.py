"""``--similarity-matrix``: how similar the tensors of both models are, against what unrelated ones would be."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np
from diffai_lib_layers import place

from diffai_compare_embeddings.geometry import debiased_cka, procrustes
from diffai_compare_embeddings.samples import affordable_rows, sample
from diffai_compare_embeddings.tables import shared_rows
from diffai_core.plugin import Finding, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_embeddings.tables import Table
    from diffai_core.plugin import Comparison, PairResult

KIND = "similarity_matrix"
_RELATED_Z = 4.0
"""Standard deviations of unrelated tensors beyond which a cosine is no chance: one in 31,000."""
_FEWEST = 32
"""Elements below which a cosine says little."""
_FEWEST_OF_MATRIX = 1024
"""Elements of a matrix that may tell whether models are related; vectors of unrelated ones are alike by their start."""
_MATRIX = 2


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: ARG001 - has none
    """Yield one summary: ``by_role`` for the roles, ``tensors`` for each pair, ``shared_rows`` for tables."""
    rows = [row for row in map(_row, comparison.results) if row is not None]
    tables = shared_rows(comparison).tables
    geometries = list(comparison.map(_geometry, tables, nbytes=lambda table: table.nbytes))
    if not rows:
        yield Finding(
            KIND,
            status="not_measurable",
            level="info",
            coverage=0.0,
            message="needs: tensors of floating-point weights with equal shapes in both models, not all values equal",
        )
        return
    yield _summary(comparison, rows, geometries)


def _row(result: PairResult) -> dict[str, Any] | None:
    """Return the centred cosine of one pair and how far it is from chance; ``None`` where there is none."""
    new = result.pair.new
    if new is None or not result.same_shape or new.role != "weights" or new.dtype.kind != "float":
        return None
    if new.numel < _FEWEST:
        return None
    moments = result.statistics.get("moments")
    if result.relation is Relation.IDENTICAL:
        cos, rel = 1.0, 0.0
    elif moments is not None and moments.centred_cos is not None:
        cos, rel = float(moments.centred_cos), moments.rel_change
    else:
        return None
    return {
        "name": new.name,
        "role": place(new.name).role,
        "n": new.numel,
        "matrix": len(new.shape) >= _MATRIX and new.numel >= _FEWEST_OF_MATRIX,
        "centred_cos": cos,
        "centred_cos_z": cos * new.numel**0.5,
        "rel_change": rel,
    }


def _geometry(table: Table) -> dict[str, Any]:
    """Return how far the rows of a table lie to each other as before."""
    if table.identical:
        return {"name": table.key, "rows": table.n_common, "cka_debiased": 1.0, "procrustes_residual": 0.0}
    with np.errstate(all="ignore"):
        found = sample(table, affordable_rows(table.width))
        alignment = procrustes(found.old, found.new) if len(found.common) > 1 else None
        return {
            "name": table.key,
            "rows": len(found.common),
            "cka_debiased": debiased_cka(found.old, found.new),
            "procrustes_residual": None if alignment is None else alignment.residual,
            "procrustes_null": None if alignment is None else alignment.null,
        }


def _summary(
    comparison: Comparison, rows: Sequence[Mapping[str, Any]], geometries: Sequence[Mapping[str, Any]]
) -> Finding:
    cosines = [row["centred_cos"] for row in rows]
    matrices = [row for row in rows if row["matrix"]]
    related = sum(row["centred_cos_z"] > _RELATED_Z for row in matrices)
    values: dict[str, Any] = {
        "matrix_size": len(rows),
        "avg_similarity": fmean(cosines),
        "median_similarity": median(cosines),
        "least_similarity": min(cosines),
        "least_similar": min(rows, key=lambda row: row["centred_cos"])["name"],
        "related_matrices": related,
        "matrices": len(matrices),
        "by_role": _by_role(rows),
        "shared_rows": [dict(record) for record in geometries],
        "tensors": [dict(row) for row in rows],
    }
    smallest = min(row["n"] for row in rows)
    return Finding(
        KIND,
        level="info",
        values=values,
        null={"avg_similarity": 0.0, "centred_cos_sd": f"1/sqrt(n), at most {smallest**-0.5:.3g}", "cka_debiased": 0.0},
        threshold={"related": f"centred_cos > {_RELATED_Z:g}/sqrt(n)"},
        threshold_source="convention",
        coverage=_coverage(comparison, rows),
        message=f"{related} of {len(matrices)} matrices are more alike than unrelated ones can be by chance",
    )


def _by_role(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["role"]].append(row)
    return [
        {
            "role": role,
            "n_tensors": len(group),
            "similarity": fmean(row["centred_cos"] for row in group),
            "least": min(row["centred_cos"] for row in group),
            "null_sd": fmean(row["n"] ** -0.5 for row in group),
        }
        for role, group in sorted(groups.items())
    ]


def _coverage(comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of NEW's weights that were compared, tied ones counted once."""
    storages = {
        ref.storage: ref
        for ref in (result.pair.new for result in comparison.results)
        if ref is not None and ref.role == "weights"
    }
    names = {row["name"] for row in rows}
    whole = sum(ref.numel for ref in storages.values())
    return sum(ref.numel for ref in storages.values() if ref.name in names) / whole if whole else None
