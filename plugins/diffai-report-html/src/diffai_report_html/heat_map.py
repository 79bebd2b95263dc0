"""The map of the model: blocks by roles, each cell a link to its tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from diffai_lib_layers import place

from diffai_report_html.marks import is_number, shown, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from diffai_core.plugin import Finding

Cell = tuple[str, str]
"""Block and role."""

OUTSIDE = "outside blocks"
"""Label of the row for tensors that are in no block; the same as in the charts of ``--include-charts``."""

_MOST_ROWS = 400
_MOST_TABLE_ROWS = 2000
_CELL_WIDTH, _CELL_HEIGHT, _CHARACTER = 62, 24, 7.3
_TOP = 26
_LONGEST_LABEL = 40
_LEGEND = "log10 rel_change, the larger the more colour; = unchanged; a cell links to its tensors"


def cell_of(name: str) -> Cell:
    """Return block and role of a tensor, as its name says."""
    where = place(name)
    return where.block_name or OUTSIDE, where.role


def map_of(
    charts: Sequence[Mapping[str, Any]], tensors: Sequence[Finding], cells: Sequence[Cell]
) -> Mapping[str, Any] | None:
    """Return the map of ``--include-charts``, else one of the changed tensors; ``None`` if there is nothing on it."""
    return next((chart for chart in charts if chart.get("type") == "heat_map"), None) or _of_changed(tensors, cells)


def heat_map(found: Mapping[str, Any] | None, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the section of the map."""
    if found is None:
        return
    first = _first_places(cells)
    title = str(found.get("title", ""))
    yield f'<section id="map" aria-labelledby="h-map">\n<h2 id="h-map">{text(title)}</h2>\n<figure>\n'
    columns = [str(column) for column in found["columns"]]
    rows = [list(row) for row in found["rows"] if row]
    yield from _drawn(title, columns, rows[:_MOST_ROWS], first)
    more = f" {len(rows) - _MOST_ROWS:,} more blocks are not drawn." if len(rows) > _MOST_ROWS else ""
    yield f"<figcaption>{_LEGEND}.{more}</figcaption>\n</figure>\n"
    yield f"<details><summary>The map as a table ({len(rows):,} blocks)</summary>\n"
    yield from table("", columns, (_table_row(row) for row in rows[:_MOST_TABLE_ROWS]))
    if len(rows) > _MOST_TABLE_ROWS:
        yield f"<p>… {len(rows) - _MOST_TABLE_ROWS:,} more blocks; the table of tensors has all of them.</p>\n"
    yield "</details>\n</section>\n"


def _first_places(cells: Sequence[Cell]) -> dict[Cell, int]:
    """Return for each cell, and for each block (of no role), the number of its first row in the table of tensors."""
    first: dict[Cell, int] = {}
    for number, (block, role) in enumerate(cells):
        first.setdefault((block, role), number)
        first.setdefault((block, ""), number)
    return first


def _of_changed(tensors: Sequence[Finding], cells_of: Sequence[Cell]) -> dict[str, Any] | None:
    """Return a map of the largest relative change of each cell; ``None`` if no tensor has one."""
    cells: dict[Cell, float] = {}
    for finding, cell in zip(tensors, cells_of, strict=True):
        change = finding.values.get("rel_change")
        if isinstance(change, (int, float)) and change > 0 and math.isfinite(change):
            cells[cell] = max(cells.get(cell, 0.0), float(change))
    if not cells:
        return None
    roles = list(dict.fromkeys(role for _, role in cells))
    blocks = sorted(dict.fromkeys(block for block, _ in cells), key=_in_order)
    rows = [[block, *(_power(cells.get((block, role))) for role in roles)] for block in blocks]
    return {"title": "Largest relative change by block and role", "columns": ["block", *roles], "rows": rows}


def _in_order(block: str) -> tuple[bool, str, int]:
    stack, _, number = block.rpartition(".")
    return (
        (block != OUTSIDE, stack, int(number))
        if number.isascii() and number.isdigit()
        else (block != OUTSIDE, block, 0)
    )


def _power(change: float | None) -> float | None:
    return math.log10(change) if change else None


def _table_row(row: Sequence[Any]) -> str:
    return f'<th scope="row">{text(row[0])}</th>' + "".join(
        f'<td class="n">{"" if value is None else shown(value) if is_number(value) else text(value)}</td>'
        for value in row[1:]
    )


def _drawn(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], first: Mapping[Cell, int]
) -> Iterator[str]:
    labels = [_short(str(row[0])) for row in rows]
    left = max(map(len, labels), default=0) * _CHARACTER + 8
    width, height = left + _CELL_WIDTH * (len(columns) - 1) + 4, _TOP + _CELL_HEIGHT * len(rows) + 4
    yield f'<svg width="{width:.0f}" height="{height}" role="group" aria-labelledby="map-title map-about">\n'
    yield f'<title id="map-title">{text(title)}</title>\n<desc id="map-about">{_about(columns, rows)}</desc>\n'
    for number, role in enumerate(columns[1:]):
        x = left + _CELL_WIDTH * (number + 0.5)
        yield f'<text x="{x:.0f}" y="{_TOP - 9}" text-anchor="middle">{text(role[:8])}</text>\n'
    for line, (label, row) in enumerate(zip(labels, rows, strict=True)):
        y = _TOP + _CELL_HEIGHT * line
        yield _link(str(row[0]), "", first, f'<text x="0" y="{y + 16}">{text(label)}</text>')
        for number, (role, value) in enumerate(zip(columns[1:], row[1:], strict=False)):
            if value is not None:
                yield _cell(str(row[0]), role, value, left + _CELL_WIDTH * number, y, first)
    yield "</svg>\n"


def _cell(block: str, role: str, value: Any, x: float, y: int, first: Mapping[Cell, int]) -> str:
    level = _level(value)
    said = f"{value:.2f}" if is_number(value) else str(value)[:8]
    drawn = (
        f'<rect class="h{level}" x="{x + 1:.1f}" y="{y + 1}" width="{_CELL_WIDTH - 2}" height="{_CELL_HEIGHT - 2}">'
        f"<title>{text(block)}, {text(role)}: {text(said)}</title></rect>"
        f'<text class="on{level}" x="{x + _CELL_WIDTH / 2:.1f}" y="{y + 16}" text-anchor="middle">{text(said)}</text>'
    )
    return _link(block, role, first, drawn)


def _link(block: str, role: str, first: Mapping[Cell, int], drawn: str) -> str:
    """Return what is drawn as a link to the first tensor of the cell, or of the block; bare if none of it changed."""
    place = first.get((block, role))
    if place is None:
        return f"<g>{drawn}</g>\n"
    said = f"{block}, {role}" if role else block
    data = f'data-block="{text(block)}"' + (f' data-role="{text(role)}"' if role else "")
    return f'<a href="#t{place}" {data} aria-label="{text(said)}: its tensors">{drawn}</a>\n'


def _level(value: Any) -> int:
    """Return the depth of the colour: 0 unchanged, 1 below 1e-4, one more for each power of ten up to 5."""
    return min(max(math.floor(value) + 6, 1), 5) if is_number(value) and math.isfinite(value) else 0


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"…{label[1 - _LONGEST_LABEL :]}"


def _about(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    numbers = [
        (value, str(row[0]), role)
        for row in rows
        for role, value in zip(columns[1:], row[1:], strict=False)
        if is_number(value)
    ]
    most = max(numbers, default=None)
    deepest = f" The largest is {most[0]:.2f} in {text(most[1])}, {text(most[2])}." if most else ""
    return f"{len(rows)} blocks by {len(columns) - 1} roles; {len(numbers)} cells changed.{deepest} A table follows."
