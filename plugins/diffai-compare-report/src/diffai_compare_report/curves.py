"""The training histories that the artefacts hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_lib_training import training_of

from diffai_compare_report.chart import chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_lib_training import History

    from diffai_core.plugin import Comparison

_MOST_CURVES = 12
_MOST_POINTS = 400


def curves(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield one chart for each history, with a line for each side that has it."""
    sides = [
        {history.name: history for history in training_of(side, comparison.keys.keeps).histories}
        for side in (comparison.old, comparison.new)
    ]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    for name in names[:_MOST_CURVES]:
        histories = [(label, side[name]) for label, side in zip(("OLD", "NEW"), sides, strict=True) if name in side]
        unit = next((history.unit for _, history in histories if history.unit), "place in the log")
        rows, n_points = _rows([history for _, history in histories])
        if rows:
            columns = [unit, *(label for label, _ in histories)]
            yield chart(
                "line",
                f"History of {name}",
                unit,
                name,
                "",
                columns,
                rows,
                better=histories[-1][1].direction,
                n_points=n_points,
                paths=[history.path for _, history in histories],
            )


def _rows(histories: Sequence[History]) -> tuple[list[list[Any]], int]:
    """Return the points of all histories by their place, thinned evenly where there are many, and how many."""
    points = [_points(history) for history in histories]
    places = sorted(set().union(*points))
    chosen = places
    if len(places) > _MOST_POINTS:
        step = (len(places) - 1) / (_MOST_POINTS - 1)
        chosen = [places[round(number * step)] for number in range(_MOST_POINTS)]
    return [[place, *(side.get(place) for side in points)] for place in chosen], sum(map(len, points))


def _points(history: History) -> dict[float, float]:
    steps = history.steps if history.steps is not None else range(len(history.values))
    return {
        float(step): value
        for step, value in zip(steps, history.values, strict=False)
        if math.isfinite(step) and math.isfinite(value)
    }
