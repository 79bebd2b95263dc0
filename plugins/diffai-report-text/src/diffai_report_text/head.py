"""The head: what the two sides are, in aligned columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diffai_report_text.literals import name, visible
from diffai_report_text.numbers import counted, size
from diffai_report_text.view import elide

if TYPE_CHECKING:
    from diffai_core.plugin import ArtifactSummary, Report
    from diffai_report_text.view import View

_GAP = 2
_PATH = 1
_BREAK = 3
_NUMBER = re.compile(r"\d[\d,.]* (tensor|param|byte|.B)s?")
_LEAST_PATH = 24


def head_lines(report: Report, view: View) -> list[str]:
    """Return one line for each side: path, format and, if there are tensors, how many of what.

    Where a terminal is too narrow, the numbers stand below the path.
    """
    has_tensors = bool(report.old.n_tensors or report.new.n_tensors)
    rows = [_cells("old", report.old, has_tensors), _cells("new", report.new, has_tensors)]
    if view.width is None:
        return _table(rows)
    room = view.width - _columns(rows, without=_PATH)
    if room >= min(_LEAST_PATH, max(len(row[_PATH]) for row in rows)):
        return _table(_with_paths(rows, room))
    above = [row[:_BREAK] for row in rows]
    above = _with_paths(above, max(view.width - _columns(above, without=_PATH), _LEAST_PATH))
    below = [["   ", *row[_BREAK:]] for row in rows]
    return [line for pair in zip(_table(above), _table(below), strict=True) for line in pair]


def _columns(rows: list[list[str]], without: int) -> int:
    """Columns of the table, gaps among them, without the text of one of its columns."""
    return _GAP * len(rows[0]) + sum(
        max(map(len, cells)) for i, cells in enumerate(zip(*rows, strict=True)) if i != without
    )


def _with_paths(rows: list[list[str]], room: int) -> list[list[str]]:
    return [[*row[:_PATH], elide(row[_PATH], room), *row[_PATH + 1 :]] for row in rows]


def _cells(side: str, summary: ArtifactSummary, has_tensors: bool) -> list[str]:
    cells = [side, name(summary.path), visible(summary.format)]
    if has_tensors:
        cells += [
            counted(summary.n_tensors, "tensor"),
            counted(summary.n_parameters, "param"),
            _dtypes(summary),
            size(summary.n_bytes),
        ]
    return cells


def _dtypes(summary: ArtifactSummary) -> str:
    """Return the dtypes, with the number of tensors of each where there are several."""
    if len(summary.dtypes) <= 1:
        return ", ".join(map(visible, summary.dtypes)) or "-"
    return ", ".join(f"{visible(dtype)} ({count:,})" for dtype, count in summary.dtypes.items())


def _table(rows: list[list[str]]) -> list[str]:
    columns = [_aligned(cells) for cells in zip(*rows, strict=True)]
    return [(" " * _GAP + (" " * _GAP).join(cells)).rstrip() for cells in zip(*columns, strict=True)]


def _aligned(cells: tuple[str, ...]) -> list[str]:
    """Pad the cells of a column: numbers to the right, text to the left."""
    width = max(map(len, cells))
    is_number = all(_NUMBER.fullmatch(cell) for cell in cells)
    return [cell.rjust(width) if is_number else cell.ljust(width) for cell in cells]
