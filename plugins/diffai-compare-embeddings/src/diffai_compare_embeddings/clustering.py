"""``--clustering-change``: which rows of an embedding changed their cluster, where there are clusters to change."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffai_compare_embeddings.agreement import (
    adjusted_mutual_information,
    adjusted_rand,
    n_moved,
    variation_of_information,
)
from diffai_compare_embeddings.kmeans import Clusters, k_means, silhouette
from diffai_compare_embeddings.reading import evenly_spaced
from diffai_compare_embeddings.samples import sample
from diffai_compare_embeddings.tables import Tables, embeddings, missing
from diffai_core.plugin import Finding, PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from diffai_compare_embeddings.tables import Table
    from diffai_core.plugin import Comparison

    Reals = NDArray[np.float64]

KIND = "clustering_change"
LEAST_STABLE = 0.5
"""Agreement of clusters of OLD with themselves (adjusted Rand index) below which they are no property of the table:
points without clusters reach 0.4 in three columns, and 0.2 in eight and more."""
_CHOICES = (2, 3, 4, 6, 8, 12, 16, 24, 32)
_MOST_ROWS = 4096
_MOST_BYTES = 32 << 20
_ROWS_FOR_CHOICE = 1024
_FEWEST_ROWS_PER_CLUSTER = 3


class Divisions(NamedTuple):
    """Clusters of OLD by two seeds, and of NEW."""

    old: Clusters
    again: Clusters
    new: Clusters


def compare(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield one summary of the largest embedding; ``tables`` has a record for each.

    Raises:
        PluginError: If the number of clusters is 1 or negative.
    """
    k = options["n_clusters"]
    if k < 0 or k == 1:
        raise PluginError(f"--n-clusters {k}: must be at least 2")
    found = embeddings(comparison)
    measured = comparison.map(partial(_measured, k=k), found.tables, nbytes=lambda table: table.nbytes)
    records = [record for record in measured if record is not None]
    if not records:
        message = missing(found, "an embedding")
        if found.tables:
            message = f"needs: more rows ({found.tables[0].key} has {found.tables[0].n_common} that differ at most)"
        yield Finding(KIND, status="not_measurable", level="info", coverage=0.0, message=message)
        return
    yield _summary(found, records)


def _measured(table: Table, k: int) -> dict[str, Any] | None:
    """Return how the clusters of one table changed; ``None`` if it has too few rows."""
    with np.errstate(all="ignore"):
        found = sample(table, min(_MOST_ROWS, max(_MOST_BYTES // (8 * table.width), _ROWS_FOR_CHOICE)))
        k = k or _best_number(found.old)
        if not k or k * _FEWEST_ROWS_PER_CLUSTER > len(found.common):
            return None
        divisions = Divisions(k_means(found.old, k, 1), k_means(found.old, k, 2), k_means(found.new, k, 1))
        few = evenly_spaced(len(found.old), _ROWS_FOR_CHOICE)
        apart = [
            silhouette(points[few], division.labels[few])
            for points, division in ((found.old, divisions.old), (found.new, divisions.new))
        ]
    record: dict[str, Any] = {
        "name": table.key,
        "rows": len(found.common),
        "common_rows": table.n_common,
        "clusters_old": _n_clusters(divisions.old),
        "clusters": _n_clusters(divisions.new),
        "seed_ari": adjusted_rand(divisions.old.labels, divisions.again.labels),
        "half_ari": _of_halves(found.old, k),
        "silhouette_old": apart[0],
        "silhouette": apart[1],
    }
    record["self_ari"] = min(record["seed_ari"], record["half_ari"])
    return record | (_change(divisions) if record["self_ari"] >= LEAST_STABLE else {})


def _of_halves(points: Reals, k: int) -> float:
    """Return how far the clusters found in either half of the points, every other one, agree on all of them.

    Two seeds agree on points without clusters as well, where there are few columns; two halves do not.
    """
    halves = [k_means(points[start::2], min(k, len(points[start::2])), 1).assign(points) for start in (0, 1)]
    return adjusted_rand(halves[0], halves[1])


def _change(divisions: Divisions) -> dict[str, Any]:
    old, again, new = (division.labels for division in divisions)
    return {
        "ari": adjusted_rand(old, new),
        "ami": adjusted_mutual_information(old, new),
        "vi_nats": variation_of_information(old, new),
        "stability": adjusted_rand(old, new) / adjusted_rand(old, again),
        "migrated": n_moved(old, new),
        "migrated_null": n_moved(old, again),
        "migrated_share": n_moved(old, new) / len(old),
    }


def _best_number(points: Reals) -> int:
    """Return the number of clusters whose silhouette in OLD is largest, on some rows; 0 if there are too few."""
    few = points[evenly_spaced(len(points), _ROWS_FOR_CHOICE)]
    best, best_score = 0, -np.inf
    for k in _CHOICES:
        if k * _FEWEST_ROWS_PER_CLUSTER > len(few):
            break
        score = silhouette(few, k_means(few, k, 0).labels)
        if score is not None and score > best_score:
            best, best_score = k, score
    return best


def _n_clusters(division: Clusters) -> int:
    return len(np.unique(division.labels))


def _summary(found: Tables, records: Sequence[Mapping[str, Any]]) -> Finding:
    main = records[0]
    stable = "ari" in main
    values: dict[str, Any] = {
        "clusters": f"{main['clusters_old']}->{main['clusters']}",
        "stability": main.get("stability"),
        "migrated": main.get("migrated"),
        "ari": main.get("ari"),
        "ami": main.get("ami"),
        "vi_nats": main.get("vi_nats"),
        "self_ari": main["self_ari"],
        "silhouette_old": main["silhouette_old"],
        "silhouette": main["silhouette"],
        "tables": [dict(record) for record in records],
    }
    return Finding(
        KIND,
        status="measured" if stable else "not_measurable",
        level="info",
        values=values,
        null={"ari": {"unchanged": main["self_ari"], "unrelated": 0.0}, "migrated": main.get("migrated_null")},
        threshold=LEAST_STABLE,
        threshold_source="calibrated",
        coverage=_coverage(found, records),
        message=_message(main, stable=stable),
    )


def _message(main: Mapping[str, Any], *, stable: bool) -> str:
    if not stable:
        return (
            f"{main['name']} has no clusters that could change: those of two runs on OLD agree to"
            f" {main['self_ari']:.2g} (adjusted Rand index), needs {LEAST_STABLE:g}; --n-clusters may find some"
        )
    rows = f"{main['rows']} rows"
    if main["rows"] < main["common_rows"]:
        rows = f"{main['rows']} evenly spaced of {main['common_rows']} rows"
    again = f"two runs on OLD differ in {main['migrated_null']}"
    return f"{main['name']}: {main['migrated']} of {rows} changed cluster; {again}"


def _coverage(found: Tables, records: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of the rows of NEW's embeddings that were divided into clusters."""
    rows: int = sum(record["rows"] for record in records)
    return rows / sum(table.new.shape[0] for table in found.tables)
