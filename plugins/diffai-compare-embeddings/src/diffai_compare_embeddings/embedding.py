"""``--embedding-analysis``: which rows moved, and whether they lie to each other as before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_compare_embeddings.rows import MEAN_INITIALISED, of_added, of_rows, run_through
from diffai_compare_embeddings.samples import geometry
from diffai_compare_embeddings.tables import Tables, embeddings, missing
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_compare_embeddings.tables import Table
    from diffai_core.plugin import Comparison

KIND = "embedding_analysis"


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: ARG001 - has none
    """Yield one summary; its numbers are those of the largest embedding, ``tables`` has a record for each."""
    found = embeddings(comparison)
    records = list(comparison.map(_measured, found.tables, nbytes=lambda table: table.nbytes))
    if not records:
        message = missing(found, "an embedding")
        yield Finding(KIND, status="not_measurable", level="info", coverage=0.0, message=message)
        return
    yield _summary(found, records)


def _measured(table: Table) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        rows = _unchanged(table) if table.identical else _moved(table)
        return {
            "name": table.key,
            "rows_old": table.old.shape[0],
            "rows": table.new.shape[0],
            "width": table.width,
            "aligned_by": table.aligned_by,
            "common_rows": table.n_common,
            **rows,
            **geometry(table),
        }


def _unchanged(table: Table) -> dict[str, Any]:
    """Return what follows from equal bytes."""
    n_rows = table.new.shape[0]
    return {"changed_rows": 0, "unchanged_rows": n_rows, "changed_share": 0.0, "added_rows": 0, "removed_rows": 0}


def _moved(table: Table) -> dict[str, Any]:
    rows = run_through(table)
    values = of_rows(table, rows)
    values["unchanged_rows"] = table.n_common - values["changed_rows"]
    return values | of_added(table, rows)


def _summary(found: Tables, records: Sequence[Mapping[str, Any]]) -> Finding:
    main = records[0]
    overlap, null = main["neighbour_overlap"], main.get("null", {})
    values: dict[str, Any] = {
        "layers": len(records),
        "semantic_drift": None if overlap is None else 1 - overlap,
        "affected_vocab": main["changed_rows"],
        "changed_share": main["changed_share"],
        "row_cos": main.get("row_cos"),
        "row_rel_change": main.get("row_rel_change"),
        "cka_debiased": main["cka_debiased"],
        "procrustes_residual": main["procrustes_residual"],
        "neighbour_overlap": overlap,
        "added_rows": main["added_rows"],
        "removed_rows": main["removed_rows"],
        "mean_initialised_rows": main.get("mean_initialised_rows"),
        "top_moved": [_shown(row) for row in main.get("top_moved", [])[:5]],
        "tables": [dict(record) for record in records],
    }
    if found.skipped:
        values["skipped"] = [{"name": key, "needs": reason} for key, reason in found.skipped]
    random = null.get("neighbour_overlap")
    return Finding(
        KIND,
        level="info",
        values=values,
        null={
            "semantic_drift": {"unchanged": 0.0, "unrelated": None if random is None else 1 - random},
            "row_cos": {"unchanged": 1.0, "unrelated": 0.0},
            "cka_debiased": {"unchanged": 1.0, "unrelated": 0.0},
            "procrustes_residual": {"unchanged": 0.0, "unrelated": null.get("procrustes_residual")},
            "neighbour_overlap": {"unchanged": 1.0, "unrelated": random},
        },
        threshold={"mean_initialised": MEAN_INITIALISED},
        threshold_source="convention",
        coverage=_coverage(found),
        message=_message(main),
    )


def _coverage(found: Tables) -> float:
    """Return the share of the elements of NEW's embeddings that stand against one in OLD."""
    whole = sum(table.new.numel for table in found.tables)
    return sum(table.n_common * table.width for table in found.tables) / whole


def _message(main: Mapping[str, Any]) -> str:
    parts = [f"{main['name']}: {main['changed_rows']} of {main['common_rows']} rows changed"]
    if main["aligned_by"] == "token":
        parts.append("rows aligned by their tokens")
    if main["added_rows"] or main["removed_rows"]:
        parts.append(f"{main['added_rows']} rows added, {main['removed_rows']} removed")
    if main.get("mean_initialised_rows"):
        parts.append(f"{main['mean_initialised_rows']} of the added ones are the mean of the old")
    if main["sampled_rows"] < main["common_rows"]:
        parts.append(f"geometry on {main['sampled_rows']} evenly spaced rows")
    return "; ".join(parts)


def _shown(row: Mapping[str, Any]) -> str:
    name = row["row"] if row["token"] is None else row["token"]
    return f"{name} {row['rel_change']:.3g}"
