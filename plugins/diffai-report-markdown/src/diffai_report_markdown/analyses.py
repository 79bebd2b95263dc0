"""Answers of analyses: their values beside what they would be by chance, their limits, their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffai_report_text.analyses import word
from diffai_report_text.literals import name
from diffai_report_text.nested import nested
from diffai_report_text.numbers import measure

from diffai_report_markdown.marks import code, fenced, heading, paragraph, prose, table
from diffai_report_markdown.view import MOST_ROWS, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_core.plugin import Finding

_MOST_CHARACTERS = 200


def analysis(finding: Finding, view: View) -> Iterator[str]:
    """Yield one answer: what it says, its values with their nulls, its limit, its rows and further lines."""
    yield heading(3, prose(title(finding.kind)))
    yield paragraph(prose(finding.message))
    scalars = {field: value for field, value in finding.values.items() if not _is_table(value)}
    if scalars:
        yield from _values(scalars, finding.null, view)
    yield paragraph(_footing(finding))
    yield from further(finding)
    for field, value in finding.values.items():
        if _is_table(value):
            yield from rows(str(field), value, view)


def title(kind: str) -> str:
    """Return the kind of a finding as words.

    Example:
        >>> title("layer_impact")
        'Layer impact'
    """
    words = kind.replace("_", " ").strip()
    return words[:1].upper() + words[1:] or "Finding"


def flagged(title: str, findings: Sequence[Finding], view: View, most: int) -> Iterator[str]:
    """Yield what analyses found about single tensors or entries."""
    if not findings:
        return
    yield heading(2, title)
    shown = view.some(findings, most)
    yield from table(["", "what", "where", "values", "why"], (_flag(finding, view) for finding in shown))
    yield paragraph(view.more(len(findings) - len(shown), "findings"))
    for finding in shown:
        yield from further(finding)


def _flag(finding: Finding, view: View) -> list[str]:
    sign = {"warning": "⚠️", "change": "≠"}.get(finding.level, "")
    said = "; ".join(part for part in (values_of(finding.values, view), limit(finding)) if part)
    where = code(name(finding.where)) if finding.where else ""
    return [sign, prose(finding.kind.replace("_", " ")), where, said, prose(finding.message)]


def further(finding: Finding) -> Iterator[str]:
    """Yield the further lines of a finding as they are."""
    if finding.detail:
        yield from fenced(finding.detail)


def values_of(values: Mapping[str, Any], view: View | None = None) -> str:
    """Return values on one line."""
    view = view or View()
    return ", ".join(f"{prose(str(field))} {shown(value, view)}" for field, value in values.items())


def shown(value: Any, view: View) -> str:
    """Return a value as a piece of Markdown: a number bare, everything else as code."""
    if isinstance(value, bool) or value is None or not isinstance(value, (int, float)):
        text = word(value) if view.full else _shortened(nested(value, word))
        return text if value is None or isinstance(value, bool) else code(text)
    return measure(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _values(values: Mapping[str, Any], null: Any, view: View) -> Iterator[str]:
    """Yield the values as a table, each beside its null where it has one."""
    nulls = null if isinstance(null, Mapping) else {}
    has_nulls = any(field in nulls for field in values)
    columns = ["value", "measured", *(["null"] if has_nulls else [])]
    yield from table(columns, (_value(str(field), value, nulls, has_nulls, view) for field, value in values.items()))
    others = {field: value for field, value in nulls.items() if field not in values}
    alone = shown(null, view) if null is not None and not isinstance(null, Mapping) else values_of(others, view)
    yield paragraph(f"Null: {alone}" if alone else "")


def _value(field: str, value: Any, nulls: Mapping[str, Any], has_nulls: bool, view: View) -> list[str]:
    null = [shown(nulls[field], view) if field in nulls else ""] if has_nulls else []
    return [prose(field), shown(value, view), *null]


def _footing(finding: Finding) -> str:
    """Return what the answer rests on: how it was got, of how much, against which limit."""
    said = [f"Status: {prose(finding.status)}"]
    if finding.coverage is not None:
        said.append(f"coverage {measure(finding.coverage)}")
    if limit(finding):
        said.append(limit(finding))
    return "; ".join(said) + "."


def limit(finding: Finding) -> str:
    """Return the limit a value was held against and where it comes from; empty if there is none."""
    if finding.threshold is None:
        return ""
    source = f" ({prose(finding.threshold_source)})" if finding.threshold_source else ""
    is_mapping = isinstance(finding.threshold, Mapping) and finding.threshold
    return f"threshold {values_of(finding.threshold) if is_mapping else shown(finding.threshold, View())}{source}"


def _is_table(value: Any) -> bool:
    """Whether a value is a list of records, or a mapping too large for a line."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping) and nested(value, word) == f"{{{len(value)}}}"


def rows(field: str, value: Any, view: View) -> Iterator[str]:
    """Yield a list of records as a table with one column for each field, a mapping with one row for each key."""
    records = value if isinstance(value, (list, tuple)) else [{"": key, field: item} for key, item in value.items()]
    some = view.some(records, MOST_ROWS)
    columns = list(dict.fromkeys(str(key) for record in some for key in record))
    yield paragraph(f"**{prose(field)}** ({len(records):,})")
    yield from table(
        [prose(column) for column in columns],
        ([_cell(record, column, view) for column in columns] for record in some),
    )
    yield paragraph(view.more(len(records) - len(some), "rows"))


def _cell(record: Mapping[Any, Any], column: str, view: View) -> str:
    return next((shown(value, view) for key, value in record.items() if str(key) == column), "")
