"""Charts as their data: every number, and a bar of text beside the last column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from diffai_report_text.literals import name
from diffai_report_text.numbers import measure

from diffai_report_markdown.analyses import further, shown
from diffai_report_markdown.marks import code, heading, paragraph, prose, table
from diffai_report_markdown.view import MOST_CHANGES, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_core.plugin import Finding

_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDTH = 16
_SHADES = "·░▒▓█"


def charts(findings: Sequence[Finding], view: View) -> Iterator[str]:
    """Yield every chart of ``--include-charts``: its title, what its axes are, and its data."""
    for finding in findings:
        yield heading(2, "Charts")
        yield paragraph(prose(finding.message))
        found = _charts_of(finding)
        for chart in found:
            yield from _chart(chart, view)
        if not found:  # else the further lines say the same
            yield from further(finding)


def _charts_of(finding: Finding) -> list[Mapping[str, Any]]:
    found = finding.values.get("charts")
    return [chart for chart in found if isinstance(chart, Mapping)] if isinstance(found, (list, tuple)) else []


def _chart(chart: Mapping[str, Any], view: View) -> Iterator[str]:
    columns = [str(column) for column in chart.get("columns") or ()]
    rows = [list(row) for row in chart.get("rows") or () if isinstance(row, (list, tuple))]
    kind = str(chart.get("type", ""))
    yield heading(3, prose(str(chart.get("title", "")) or kind))
    axes = [f"{axis}: {prose(str(chart[axis]))}" for axis in ("x", "y", "unit") if chart.get(axis)]
    yield paragraph("; ".join(axes))
    if not columns or not rows:
        return
    some = view.some(rows, MOST_CHANGES)
    series = _series(kind, columns)
    heights = [abs(row[number]) for row in rows for number in series if number < len(row) and _is_number(row[number])]
    heads = [*map(prose, columns), *("" for _ in series)]
    filled = ([*_cells(kind, row, len(columns)), *_bars(row, series, max(heights, default=0.0))] for row in some)
    yield from table(heads, filled, numbers=range(1, len(columns)))
    yield paragraph(view.more(len(rows) - len(some), "rows"))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return prose(value)
    return prose(measure(value)) if _is_number(value) else "" if value is None else shown(value, View())


def _label(value: Any) -> str:
    return code(name(value)) if isinstance(value, str) else _cell(value)


def _series(kind: str, columns: Sequence[str]) -> range:
    """Return the columns that get a bar: every series of a histogram, the last column of bars."""
    first = {"histogram": 2, "bar": len(columns) - 1}.get(kind, len(columns))
    return range(first, len(columns))


def _cells(kind: str, row: Sequence[Any], width: int) -> list[str]:
    """Return the cells of a row; in a heat map each number has its shade: the darkest from -1 on."""
    label, *values = [*row, *[None] * width][:width]
    with_shades = kind == "heat_map"
    return [_label(label), *(f"{_shade(value)}{_cell(value)}" if with_shades else _cell(value) for value in values)]


def _shade(power: Any) -> str:
    return f"{_SHADES[min(max(math.floor(power) + len(_SHADES), 0), len(_SHADES) - 1)]} " if _is_number(power) else ""


def _bars(row: Sequence[Any], series: range, scale: float) -> list[str]:
    return [_bar(row[number] if number < len(row) else None, scale) for number in series]


def _bar(value: Any, scale: float) -> str:
    """Return a bar as long as the value is against the longest."""
    if not _is_number(value) or not scale:
        return ""
    eighths = round(abs(value) / scale * _WIDTH * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
