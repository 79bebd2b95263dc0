"""A report as a small piece of HTML, for notebooks: the verdict, the two sides and the first findings."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from diffai_core.findings import ABSENT

if TYPE_CHECKING:
    from diffai_core.findings import ArtifactSummary, Finding, Report

MAX_FINDINGS = 200
"""Findings that are shown; how many more there are is said."""

_STYLE = (
    ".diffai table{border-collapse:collapse;font-size:90%}"
    ".diffai th,.diffai td{text-align:left;padding:2px 8px;vertical-align:top}"
    ".diffai tbody tr{border-top:1px solid #8886}"
    ".diffai td.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".diffai .error,.diffai .warning{font-weight:bold}"
)
_MAX_TEXT = 120
_MAX_BITS = 256
_MAX_LEVEL = 3
_SIDE = ("", "path", "format", "tensors", "parameters", "dtypes", "bytes")
_COLUMNS = ("kind", "where", "old", "new", "values")


def report_html(report: Report) -> str:
    """Return the report as one ``<div>`` that needs nothing else: no script, no network, all text escaped.

    Args:
        report: The report.
    """
    return "".join(_parts(report))


def _parts(report: Report) -> Iterator[str]:
    yield f'<div class="diffai"><style>{_STYLE}</style><p><strong>{_text(str(report.verdict))}</strong></p>'
    yield from _table(_SIDE, (_side_row("old", report.old), _side_row("new", report.new)))
    if report.findings:
        yield from _table(_COLUMNS, map(_finding_row, report.findings[:MAX_FINDINGS]))
    if len(report.findings) > MAX_FINDINGS:
        yield f"<p>… {len(report.findings) - MAX_FINDINGS:,} more findings</p>"
    if report.not_compared:
        items = report.not_compared[:MAX_FINDINGS]
        yield "<p>Not compared:</p>"
        yield from _table(("where", "reason"), (f"{_cell(item.where)}{_cell(item.reason)}" for item in items))
        if len(report.not_compared) > MAX_FINDINGS:
            yield f"<p>… {len(report.not_compared) - MAX_FINDINGS:,} more not compared</p>"
    yield "</div>"


def _table(columns: Iterable[str], rows: Iterable[str]) -> Iterator[str]:
    heads = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    yield f"<table><thead><tr>{heads}</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{row}</tr>"
    yield "</tbody></table>"


def _side_row(name: str, side: ArtifactSummary) -> str:
    dtypes = ", ".join(f"{dtype} ({count:,})" for dtype, count in side.dtypes.items())
    numbers = [f'<td class="n">{count:,}</td>' for count in (side.n_tensors, side.n_parameters, side.n_bytes)]
    words = f'<th scope="row">{name}</th>{_cell(side.path)}{_cell(side.format)}'
    return f"{words}{numbers[0]}{numbers[1]}{_cell(dtypes)}{numbers[2]}"


def _finding_row(finding: Finding) -> str:
    values = _brief(finding.values) if finding.values else ""
    said = "; ".join(part for part in (values, finding.message) if part)
    kind = finding.kind if finding.status == "measured" else f"{finding.kind} ({finding.status})"
    sides = (_brief(side) if side is not ABSENT else "" for side in (finding.old, finding.new))
    level = f' class="{finding.level}"' if finding.level in {"warning", "error"} else ""
    return f"<td{level}>{_text(kind)}</td>{''.join(map(_cell, (finding.where, *sides, said)))}"


def _cell(text: str) -> str:
    return f"<td>{_text(text)}</td>"


def _text(text: str) -> str:
    """Return text that a page can hold: markup escaped, and what cannot be printed written as an escape."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return escape(shown)


class _Brief(reprlib.Repr):
    """Values in a few words, however long, deep or circular they are; numbers with four digits."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = _MAX_LEVEL
        self.maxstring = self.maxother = self.maxlong = _MAX_TEXT

    def repr_float(self, value: float, _level: int) -> str:
        return f"{value:.4g}"

    def repr_int(self, value: int, _level: int) -> str:
        n_bits = value.bit_length()
        return str(value) if n_bits <= _MAX_BITS else f"<integer of {n_bits:,} bits>"

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        if level <= 0:
            return "{…}"
        shown = [f"{self._name(key)}: {self.repr1(item, level - 1)}" for key, item in list(value.items())[:_MAX_TEXT]]
        return ", ".join(shown) if level == self.maxlevel else f"{{{', '.join(shown)}}}"

    def _name(self, key: object) -> str:
        return key if isinstance(key, str) else self.repr1(key, 1)


def _brief(value: Any) -> str:
    return _Brief().repr(dict(value) if isinstance(value, Mapping) else value)
