"""The charts of a report as data: every number is measured, and every chart is also a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_report.curves import curves
from diffai_compare_report.distributions import change_distribution, value_histograms
from diffai_compare_report.heat_map import heat_map, in_shades
from diffai_compare_report.shares import shares_of_change
from diffai_compare_report.weigh import change_of, is_unchanged, numel, parameter_results, share
from diffai_core.plugin import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Comparison

_NOTHING = (
    "nothing to draw: neither side has parameters that stand on both sides, nor a training history; give model files,"
    " or a folder with trainer_state.json"
)


def charts(comparison: Comparison, options: Mapping[str, Any]) -> Iterator[Finding]:  # noqa: ARG001 - a comparator's signature
    """Yield one finding with all charts.

    Each is a mapping: ``type`` (``heat_map``, ``histogram``, ``bar``, ``line``), ``title``, ``x``, ``y``, ``unit``,
    ``columns``, ``rows``, ``data_points``.
    """
    results = parameter_results(comparison)
    map_of_changes = heat_map(results)
    made = [
        *([map_of_changes] if map_of_changes else []),
        *change_distribution(results),
        *shares_of_change(results),
        *value_histograms(results),
        *curves(comparison),
    ]
    if not made:
        yield Finding("include_charts", status="not_measurable", level="info", message=_NOTHING)
        return
    n_all = sum(map(numel, results))
    n_drawn = sum(numel(result) for result in results if is_unchanged(result) or change_of(result) is not None)
    yield Finding(
        "include_charts",
        level="info",
        values={"n_charts": len(made), "titles": [chart["title"] for chart in made], "charts": made},
        coverage=share(n_drawn, n_all),
        message=f"{len(made)} charts; --format html draws them, every other format gives their data",
        detail=tuple(in_shades(map_of_changes)) if map_of_changes else (),
    )
