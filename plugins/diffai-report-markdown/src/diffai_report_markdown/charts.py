"""Charts as their data: every number, and a bar of text beside the last column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from diffai_report_text.numbers import measure

from diffai_report_markdown.analyses import further, shown
from diffai_report_markdown.marks import heading, paragraph, prose, table
from diffai_report_markdown.view import MOST_CHANGES, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_core.plugin import Finding

_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDTH = 16
_HAVE_BARS = frozenset({"bar", "histogram"})
_SHADES = "·░▒▓█"


def charts(findings: Sequence[Finding], view: View) -> Iterator[str]:
    """Yield every chart of ``--include-charts``: its title, what its axes are, and its data."""
    for finding in findings:
        yield heading(2, "Charts")
        yield paragraph(prose(finding.message))
        for chart in _charts_of(finding):
            yield from _chart(chart, view)
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
    with_bars = kind in _HAVE_BARS
    heads = [*map(prose, columns), *([""] if with_bars else [])]
    scale = max((abs(row[-1]) for row in rows if row and _is_number(row[-1])), default=0.0)
    cells = _shaded(some) if kind == "heat_map" else [[_cell(value) for value in row] for row in some]
    bars = [[_bar(row[-1], scale)] if with_bars and row else [] for row in some]
    numbers = range(1, len(columns))
    width = len(heads)
    filled = ([*row, *bar, *[""] * width][:width] for row, bar in zip(cells, bars, strict=True))
    yield from table(heads, filled, numbers=numbers)
    yield paragraph(view.more(len(rows) - len(some), "rows"))


def _cell(value: Any) -> str:
    return prose(measure(value)) if _is_number(value) else "" if value is None else shown(value, View())


def _shaded(rows: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Return the cells of a heat map, each number with a shade of where it lies between the least and the greatest."""
    numbers = [value for row in rows for value in row[1:] if _is_number(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)

    def cell(value: Any) -> str:
        if not _is_number(value):
            return _cell(value)
        share = (value - low) / (high - low) if high > low else 1.0
        return f"{_SHADES[min(int(share * len(_SHADES)), len(_SHADES) - 1)]} {_cell(value)}"

    return [[_cell(row[0]), *map(cell, row[1:])] if row else [] for row in rows]


def _bar(value: Any, scale: float) -> str:
    """Return a bar as long as the value is against the longest."""
    if not _is_number(value) or not scale:
        return ""
    eighths = round(abs(value) / scale * _WIDTH * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
