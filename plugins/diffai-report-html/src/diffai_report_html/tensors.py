"""The table of tensors; each row opens to all numbers that any analysis has about its tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffai_report_text.numbers import at_least, measure, percent

from diffai_core.plugin import ABSENT
from diffai_report_html.charts import picture
from diffai_report_html.marks import key, pre, shown, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_report_text.outline import Outline

    from diffai_core.plugin import Finding
    from diffai_report_html.heat_map import Cell

_COLUMNS = ("tensor", "what", "block", "role", "rel_change", "max abs diff", "1 - cos", "changed")
_WHAT = {"tensor_stats_changed": ("changed", "mod"), "tensor_within_tolerance": ("within tolerance", "")}
_CLASSES = {"tensor_added": "add", "tensor_removed": "del"}
_IN_COLUMNS = frozenset({"rel_change", "max_abs_diff", "one_minus_cos", "changed_share"})
_BESIDE = frozenset({"tensor_statistics", "tensor_kept"})
_TOLD = _WHAT.keys() | {"tensor_kept"}
_ROWS = frozenset({"tensors", "layers", "matrices", "weights", "parameters"})
_NAMES = ("tensor", "name", "where", "key", "layer")


def rows_of(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings that are rows of the table; what else is known about a tensor stands in its row."""
    changes = [finding for finding in findings if finding.kind not in _BESIDE]
    told = {finding.where for finding in changes}
    alone = [finding for finding in findings if finding.kind in _BESIDE and finding.where not in told]
    return [*changes, *alone]


def tensors(
    parts: Outline, rows: Sequence[Finding], cells: Sequence[Cell], charts: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the section of the tensors that differ: the rows, each with block and role of its tensor."""
    if not rows:
        return
    known = _Known(parts, charts)
    yield '<section id="tensors" aria-labelledby="h-tensors">\n<h2 id="h-tensors">Tensors</h2>\n'
    yield (
        '<form id="filter" hidden role="search"><label for="filter-text">Only tensors whose name has</label> '
        '<input type="search" id="filter-text"> <button type="button" id="filter-clear" hidden>Show all</button> '
        '<output id="filter-status" for="filter-text" aria-live="polite"></output></form>\n'
    )
    heads = "".join(f'<th scope="col">{text(column)}</th>' for column in _COLUMNS)
    yield f'<div class="scroll"><table id="tensor-table"><thead><tr>{heads}</tr></thead><tbody>\n'
    seen: set[str] = set()
    for number, (finding, cell) in enumerate(zip(rows, cells, strict=True)):
        yield _row(number, finding, cell, "" if finding.where in seen else known.about(finding.where))
        seen.add(finding.where)
    yield "</tbody></table></div>\n"
    for finding in parts.tolerances:
        yield f"<p>{_tolerance(finding)}</p>\n"
    yield "</section>\n"


class _Known:
    """What any analysis knows about a tensor."""

    def __init__(self, parts: Outline, charts: Sequence[Mapping[str, Any]]) -> None:
        self._findings: dict[str, list[Finding]] = {}
        self._rows: dict[str, list[tuple[Finding, Mapping[str, Any]]]] = {}
        self._charts = {str(chart["tensor"]): chart for chart in charts if "tensor" in chart}
        wanted = {finding.where for finding in parts.tensors}
        for finding in (*parts.tensors, *parts.flagged, *parts.notes):
            if finding.where in wanted and finding.kind not in _TOLD:
                self._findings.setdefault(finding.where, []).append(finding)
        for finding in parts.analyses:
            for field in _ROWS & finding.values.keys():
                self._take_rows(finding, finding.values[field], wanted)

    def _take_rows(self, finding: Finding, rows: Any, wanted: set[str]) -> None:
        for row in rows if isinstance(rows, (list, tuple)) else ():
            if isinstance(row, Mapping):
                tensor = next((str(row[name]) for name in _NAMES if name in row), "")
                if tensor in wanted:
                    self._rows.setdefault(tensor, []).append((finding, row))

    def about(self, tensor: str) -> str:
        """Return the numbers of a tensor, and its distribution where it was drawn."""
        pieces = [piece for finding in self._findings.get(tensor, ()) for piece in _numbers(finding)]
        pieces += [piece for finding, row in self._rows.get(tensor, ()) for piece in _answer(finding, row)]
        if tensor in self._charts:
            pieces += picture(self._charts[tensor])
        return "".join(pieces)


def _row(number: int, finding: Finding, cell: Cell, more: str) -> str:
    block, role = cell
    values = finding.values
    what, class_ = _what(finding)
    said = f"<p>{text(finding.message)}</p>" if finding.message else ""
    own = "".join(_sides(finding)) if finding.kind in _WHAT else ""
    facts = f'<div class="facts">{own}{more}</div>' if own or more else ""
    details = f"<details><summary>{key(finding.where)}</summary>{said}{facts}{pre(finding.detail)}</details>"
    share = values.get("changed_share")
    cells = [
        f'<td>{details}</td><td><span class="{class_}">{what}</span></td><td>{text(block)}</td><td>{text(role)}</td>',
        *(_number(values, field) for field in ("rel_change", "max_abs_diff", "one_minus_cos")),
        _numeric(share, percent(share)) if "changed_share" in values else "<td></td>",
    ]
    return f'<tr id="t{number}" data-block="{text(block)}" data-role="{text(role)}">{"".join(cells)}</tr>\n'


def _what(finding: Finding) -> tuple[str, str]:
    if finding.kind in _WHAT:
        return _WHAT[finding.kind]
    if finding.kind in {"tensor_renamed", "tensor_prefix_changed"}:
        return f"renamed from {key(str(finding.old))}", "mod"
    words = text(finding.kind.removeprefix("tensor_").replace("_", " "))
    sides = " → ".join(shown(side) for side in (finding.old, finding.new) if side is not ABSENT)
    return (f"{words}: {sides}" if sides else words), _CLASSES.get(finding.kind, "mod")


def _number(values: Mapping[str, Any], field: str) -> str:
    return _numeric(values[field], measure(values[field])) if field in values else "<td></td>"


def _numeric(value: Any, said: str) -> str:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    sort = f' data-v="{float(value):.17g}"' if is_real and abs(value) < 1e300 else ""  # noqa: PLR2004 - a script's number
    return f'<td class="n"{sort}>{text(said)}</td>'


def _numbers(finding: Finding) -> Iterator[str]:
    """Yield what one finding says about a tensor."""
    status = "" if finding.status == "measured" else f" ({text(finding.status)})"
    if finding.kind.startswith("tensor_"):
        yield from _sides(finding)
        return
    level = finding.level if finding.level in {"warning", "error"} else ""
    kind = text(finding.kind.replace("_", " "))
    yield f'<p class="{level}"><strong>{kind}</strong>{status}: {text(finding.message)}</p>'
    yield from _values(finding.values, finding.null)
    yield pre(finding.detail)


def _sides(finding: Finding) -> Iterator[str]:
    """Yield both sides as a table and the measures of the pair as another."""
    old, new = (side if isinstance(side, Mapping) else {} for side in (finding.old, finding.new))
    fields = [*old, *(field for field in new if field not in old)]
    if fields:
        rows = (f'<th scope="row">{text(field)}</th>{_side(old, field)}{_side(new, field)}' for field in fields)
        yield from table("", ["measure", "OLD", "NEW"], rows)
    yield from _values(
        {field: finding.values[field] for field in finding.values if field not in _IN_COLUMNS}, finding.null
    )


def _side(side: Mapping[str, Any], field: str) -> str:
    return f'<td class="n">{shown(side[field]) if field in side else ""}</td>'


def _values(values: Mapping[str, Any], null: Any) -> Iterator[str]:
    if not values:
        return
    nulls = null if isinstance(null, Mapping) else {}
    columns = ["value", "measured", *(["null"] if nulls else [])]
    rows = (
        f'<th scope="row">{text(field)}</th><td class="n">{shown(value)}</td>'
        + (f'<td class="n">{shown(nulls[field]) if field in nulls else ""}</td>' if nulls else "")
        for field, value in values.items()
    )
    yield from table("", columns, rows)


def _answer(finding: Finding, row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the row of a tensor in the answer of an analysis."""
    yield f"<p><strong>{text(finding.kind.replace('_', ' '))}</strong></p>"
    yield from _values({str(field): value for field, value in row.items() if field not in _NAMES}, finding.null)


def _tolerance(finding: Finding) -> str:
    values = finding.values
    limits = [
        f"{limit} {at_least(values[limit])}" for limit in ("atol", "rtol") if isinstance(values.get(limit), float)
    ]
    tensor = f" ({key(str(values['tensor']))})" if values.get("tensor") else ""
    return f"Tolerance that would pass: {' or '.join(limits) or 'none'}{tensor}"
