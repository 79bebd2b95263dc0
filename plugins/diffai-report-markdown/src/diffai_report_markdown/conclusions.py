"""The written report: findings with their evidence, conclusions with what they follow from, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffai_report_text.literals import name

from diffai_report_markdown.analyses import further, values_of
from diffai_report_markdown.marks import code, heading, paragraph, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import Finding
    from diffai_report_markdown.view import View


def written_report(finding: Finding, view: View) -> Iterator[str]:
    """Yield the result of ``--generate-report``."""
    values = finding.values
    yield heading(2, prose(str(values.get("title") or "Report")))
    yield paragraph(prose(finding.message))
    yield from _list("Conclusions", _records(values, "conclusions"), _conclusion)
    found = _records(values, "findings")
    if found:
        yield heading(3, "Findings")
        shown = view.some(found)
        yield from table(["finding", "evidence", "where", "status"], (_row(record, view) for record in shown))
        yield paragraph(view.more(len(found) - len(shown), "findings"))
    yield from _list("Limits", _records(values, "limits"), _limit)
    if not found:  # else the further lines say the same
        yield from further(finding)


def _records(values: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    found = values.get(field)
    return [record for record in found if isinstance(record, Mapping)] if isinstance(found, (list, tuple)) else []


def _list(title: str, records: list[Mapping[str, Any]], piece: Any) -> Iterator[str]:
    if not records:
        return
    yield heading(3, title)
    for record in records:
        yield f"- {piece(record)}\n"
    yield "\n"


def _conclusion(record: Mapping[str, Any]) -> str:
    behind = record.get("because")
    kinds = ", ".join(code(str(kind)) for kind in behind) if isinstance(behind, (list, tuple)) else ""
    return f"{prose(str(record.get('text', '')))}{f' ({kinds})' if kinds else ''}"


def _limit(record: Mapping[str, Any]) -> str:
    return f"{prose(str(record.get('what', '')))}: {prose(str(record.get('why', '')))}"


def _row(record: Mapping[str, Any], view: View) -> list[str]:
    evidence = record.get("evidence")
    evidence = evidence if isinstance(evidence, Mapping) else {}
    numbers = evidence.get("numbers")
    where = str(evidence.get("where") or "")
    said = values_of(numbers, view) if isinstance(numbers, Mapping) else ""
    kind = code(str(evidence["kind"])) if evidence.get("kind") else ""
    return [
        prose(str(record.get("text", ""))),
        ": ".join(part for part in (kind, said) if part),
        code(name(where)) if where else "",
        prose(str(evidence.get("status", ""))),
    ]
