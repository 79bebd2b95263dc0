"""Declares the search for anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import ComparatorSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def diffai_comparators() -> Iterable[ComparatorSpec]:
    """Yield the search for anomalies."""
    yield ComparatorSpec(
        name="anomaly-detection",
        title="Find tensors that are not finite, exploding, dead, constant, untrained, duplicated or damaged.",
        target="diffai_compare_anomalies.anomalies:compare",
        needs=("changes", "counts", "moments", "higher_moments", "extrema", "rows", "columns"),
        scope="all",
        second_look="tensors in which fewer than 1 of 10,000 elements changed, or that look alike, repeated or "
        "untrained: once each",
    )
