"""Write the findings as CSV: a line of column names, then one line for each finding."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import ABSENT, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_AS_JSON = json.JSONEncoder(default=repr).encode
COLUMNS = ("kind", "where", "status", "level", "old", "new", "values", "message")


def render(report: Report, _options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines. A value that is no text is written as JSON, an absent one as nothing."""
    yield _line(COLUMNS)
    for finding in report.findings:
        yield _line(_cell(getattr(finding, column)) for column in COLUMNS)


def _cell(value: Any) -> str:
    if value is ABSENT:
        return ""
    return value if isinstance(value, str) else _AS_JSON(value)


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([_printable(cell) for cell in cells])
    return buffer.getvalue()


def _printable(text: str) -> str:
    """Escape line ends and what could steer a terminal; names in a model file may hold anything."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
