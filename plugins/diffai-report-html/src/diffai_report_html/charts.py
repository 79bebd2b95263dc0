"""The charts of ``--include-charts``, each with its data as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffai_report_html.drawing import bars, histogram, lines
from diffai_report_html.marks import cell, pre, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_core.plugin import Finding

_DRAWN = {"histogram": histogram, "bar": bars, "line": lines}


def charts_in(findings: Sequence[Finding]) -> list[Mapping[str, Any]]:
    """Return the charts that findings hold and that have the form of one."""
    found = [chart for finding in findings for chart in _listed(finding.values.get("charts"))]
    return [
        chart for chart in found if _listed(chart.get("columns"), str) and _listed(chart.get("rows"), (list, tuple))
    ]


def _listed(value: Any, kind: Any = Mapping) -> list[Any]:
    return [item for item in value if isinstance(item, kind)] if isinstance(value, (list, tuple)) else []


def charts(findings: Sequence[Finding], drawn: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the section of the charts, without the heat map, which stands further up."""
    if not findings:
        return
    yield '<section id="charts" aria-labelledby="h-charts">\n<h2 id="h-charts">Charts</h2>\n'
    for chart in drawn:
        if chart.get("type") != "heat_map":
            yield from picture(chart)
    if not drawn:
        for finding in findings:
            yield f"<p>{text(finding.message)}</p>\n{pre(finding.detail)}"
    yield "</section>\n"


def picture(chart: Mapping[str, Any]) -> Iterator[str]:
    """Yield one chart: what it shows, the drawing, its data."""
    columns, rows = _listed(chart.get("columns"), str), [list(row) for row in _listed(chart.get("rows"), (list, tuple))]
    title = str(chart.get("title", ""))
    yield f"<figure>\n<figcaption>{text(title)}</figcaption>\n"
    draw = _DRAWN.get(str(chart.get("type", "")))
    if draw is not None:
        yield from draw(chart, columns, rows)
    yield f"<details><summary>Data ({len(rows):,} rows)</summary>\n"
    yield from table(_axes(chart), columns, ("".join(map(_cell, row)) for row in rows))
    yield "</details>\n</figure>\n"


def _cell(value: Any) -> str:
    return "<td></td>" if value is None else f"<td>{text(value)}</td>" if isinstance(value, str) else cell(value)


def _axes(chart: Mapping[str, Any]) -> str:
    return "; ".join(f"{axis}: {text(chart[axis])}" for axis in ("x", "y", "unit") if chart.get(axis))
