"""The form of a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["heat_map", "histogram", "bar", "line"]


def chart(
    kind: Kind,
    title: str,
    x: str,
    y: str,
    unit: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    **more: Any,
) -> dict[str, Any]:
    """Return a chart as plain values.

    Args:
        kind: How it is drawn. ``heat_map``: rows of the map begin with their label, further columns are cells.
            ``histogram``: a row is the lower and upper edge of a bin and a height for each series. ``bar``: a row is a
            label and its bars. ``line``: a row is a place on the x axis and a height for each series.
        title: One line.
        x: What the x axis is.
        y: What the y axis is.
        unit: Unit of the numbers; empty for counts.
        columns: Names of the columns.
        rows: One list for each row; ``None`` where there is no number.
        more: Further facts, such as the tensor that is drawn.
    """
    n_numbers = sum(isinstance(value, (int, float)) for row in rows for value in row[1:])
    return {
        "type": kind,
        "title": title,
        "x": x,
        "y": y,
        "unit": unit,
        "data_points": n_numbers,
        **more,
        "columns": list(columns),
        "rows": [list(row) for row in rows],
    }
