"""Answers of analyses, gates, the written report, and what a person should look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffai_report_text.analyses import gate_answer, word
from diffai_report_text.nested import nested
from diffai_report_text.numbers import measure

from diffai_report_html.marks import cell, key, pre, shown, table, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_report_text.outline import Outline

    from diffai_core.plugin import Finding

_SHORT_TABLE = 12
_FLAG_COLUMNS = ("level", "what", "where", "values", "why")
_SIGNS = {"passed": "✓ passed", "failed": "✗ failed", "undecided": "? undecided"}


def gates(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the conditions that were asked for, with their answers."""
    if not findings:
        return
    yield '<section id="gates" aria-labelledby="h-gates">\n<h2 id="h-gates">Gates</h2>\n'
    yield from table("", ["answer", "rule", "measured", "why"], map(_gate, findings))
    yield "</section>\n"


def _gate(finding: Finding) -> str:
    answer = gate_answer(finding)
    rule = str(finding.values.get("rule") or finding.where)
    measured = {field: value for field, value in finding.values.items() if field not in {"rule", "passed"}}
    said = "; ".join(part for part in (_line(measured), limit(finding)) if part)
    why = f"{text(finding.message)}{pre(finding.detail)}"
    return f'<td class="{answer}">{_SIGNS[answer]}</td><td><code>{text(rule)}</code></td><td>{said}</td><td>{why}</td>'


def flagged(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield what an analysis found that a person should look at."""
    if not findings:
        return
    yield '<section id="look" aria-labelledby="h-look">\n<h2 id="h-look">Look at</h2>\n'
    yield from table("", _FLAG_COLUMNS, map(_flag, findings))
    yield "</section>\n"


def noted(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield what analyses found about single tensors or entries and is no reason to look; closed until it is opened."""
    if not findings:
        return
    yield '<section id="noted" aria-labelledby="h-noted">\n<h2 id="h-noted">Noted</h2>\n'
    yield f"<details><summary>{len(findings):,} findings about single tensors or entries</summary>\n"
    yield from table("", _FLAG_COLUMNS, map(_flag, findings))
    yield "</details>\n</section>\n"


def _flag(finding: Finding) -> str:
    level = finding.level if finding.level in {"warning", "error"} else ""
    said = "; ".join(part for part in (_line(finding.values), limit(finding), _null(finding)) if part)
    where = key(finding.where) if finding.where else ""
    why = f"{text(finding.message)}{pre(finding.detail)}"
    kind = text(finding.kind.replace("_", " "))
    return f'<td class="{level}">{text(finding.level)}</td><td>{kind}</td><td>{where}</td><td>{said}</td><td>{why}</td>'


def _null(finding: Finding) -> str:
    if finding.null is None:
        return ""
    return f"null: {_line(finding.null) if isinstance(finding.null, Mapping) else shown(finding.null)}"


def analyses(parts: Outline) -> Iterator[str]:
    """Yield the answers, each value beside its null."""
    if not parts.analyses and not parts.structure:
        return
    yield '<section id="analyses" aria-labelledby="h-analyses">\n<h2 id="h-analyses">Analyses</h2>\n'
    for finding in (*parts.structure, *parts.analyses):
        yield from _analysis(finding)
    yield "</section>\n"


def _analysis(finding: Finding) -> Iterator[str]:
    words = finding.kind.replace("_", " ").strip()
    yield f"<article>\n<h3>{text(words[:1].upper() + words[1:])}</h3>\n"
    if finding.message:
        yield f"<p>{text(finding.message)}</p>\n"
    nulls = finding.null if isinstance(finding.null, Mapping) else {}
    scalars = {field: value for field, value in finding.values.items() if not _is_table(value)}
    if scalars:
        columns = ["value", "measured", *(["null"] if nulls else [])]
        yield from table("", columns, (_value(field, value, nulls) for field, value in scalars.items()))
    yield f'<p class="soft">{"; ".join(_footing(finding, nulls, scalars))}</p>\n{pre(finding.detail)}'
    for field, value in finding.values.items():
        if _is_table(value):
            yield from _rows(str(field), value)
    yield "</article>\n"


def _value(field: str, value: Any, nulls: Mapping[str, Any]) -> str:
    null = (cell(nulls[field]) if field in nulls else "<td></td>") if nulls else ""
    return f'<th scope="row">{text(field)}</th>{cell(value)}{null}'


def _footing(finding: Finding, nulls: Mapping[str, Any], scalars: Mapping[str, Any]) -> list[str]:
    """Return what the answer rests on: how it was got, of how much, against which limit, and nulls of no value."""
    said = [f"status {text(finding.status)}"]
    if finding.coverage is not None:
        said.append(f"coverage {text(measure(finding.coverage))}")
    if limit(finding):
        said.append(limit(finding))
    alone = {field: null for field, null in nulls.items() if field not in scalars}
    if alone:
        said.append(f"null: {_line(alone)}")
    elif finding.null is not None and not nulls:
        said.append(f"null: {shown(finding.null)}")
    return said


def limit(finding: Finding) -> str:
    """Return the limit a value was held against and where it comes from; empty if there is none."""
    if finding.threshold is None:
        return ""
    source = f" ({text(finding.threshold_source)})" if finding.threshold_source else ""
    said = _line(finding.threshold) if isinstance(finding.threshold, Mapping) else shown(finding.threshold)
    return f"threshold {said}{source}"


def _line(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{text(field)} {shown(value)}" for field, value in values.items())


def _is_table(value: Any) -> bool:
    """Whether a value is a list of records, or a mapping or list too large for a line."""
    if isinstance(value, (list, tuple)):
        return bool(value) and (
            all(isinstance(item, Mapping) for item in value) or nested(value, word) == f"[{len(value)}]"
        )
    return isinstance(value, Mapping) and nested(value, word) == f"{{{len(value)}}}"


def _rows(field: str, value: Any) -> Iterator[str]:
    """Yield a list of records as a table with a column for each field; a long one is closed until it is opened."""
    records = _records(field, value)
    columns = list(dict.fromkeys(column for record in records for column in record))
    state = " open" if len(records) <= _SHORT_TABLE else ""
    yield f"<details{state}><summary>{text(field)} ({len(records):,})</summary>\n"
    yield from table("", columns, (_record(record, columns) for record in records))
    yield "</details>\n"


def _records(field: str, value: Any) -> list[dict[str, Any]]:
    if isinstance(value, Mapping):
        return [{"key": key_, field: item} for key_, item in value.items()]
    return [
        {str(column): one for column, one in item.items()} if isinstance(item, Mapping) else {field: item}
        for item in value
    ]


def _record(record: Mapping[str, Any], columns: Sequence[str]) -> str:
    return "".join(cell(record[column]) if column in record else "<td></td>" for column in columns)


def written_report(finding: Finding) -> Iterator[str]:
    """Yield the result of ``--generate-report``: conclusions first, then findings with evidence, then limits."""
    values = finding.values
    title = text(values.get("title") or "Report")
    yield f'<section id="report" aria-labelledby="h-report">\n<h2 id="h-report">{title}</h2>\n'
    conclusions, found, limits = (_mappings(values, field) for field in ("conclusions", "findings", "limits"))
    if conclusions:
        items = "".join(f"<li>{_conclusion(record)}</li>\n" for record in conclusions)
        yield f"<h3>Conclusions</h3>\n<ul>\n{items}</ul>\n"
    if found:
        yield "<h3>Findings</h3>\n"
        yield from table("", ["finding", "evidence", "where", "status"], map(_finding, found))
    if limits:
        yield "<h3>Limits</h3>\n"
        yield from table(
            "",
            ["what", "why"],
            (f"<td>{text(one.get('what', ''))}</td><td>{text(one.get('why', ''))}</td>" for one in limits),
        )
    if not found and not conclusions:
        yield f"<p>{text(finding.message)}</p>\n{pre(finding.detail)}"
    yield "</section>\n"


def _mappings(values: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    found = values.get(field)
    return [record for record in found if isinstance(record, Mapping)] if isinstance(found, (list, tuple)) else []


def _conclusion(record: Mapping[str, Any]) -> str:
    behind = record.get("because")
    kinds = ", ".join(map(text, behind)) if isinstance(behind, (list, tuple)) else ""
    said = text(record.get("text", ""))
    return f'{said} <span class="soft">({kinds})</span>' if kinds else said


def _finding(record: Mapping[str, Any]) -> str:
    evidence = record.get("evidence")
    evidence = evidence if isinstance(evidence, Mapping) else {}
    numbers = evidence.get("numbers")
    said = _line(numbers) if isinstance(numbers, Mapping) else ""
    level = str(record.get("level", ""))
    class_ = level if level in {"warning", "error"} else ""
    where = key(str(evidence["where"])) if evidence.get("where") else ""
    kind = f"<code>{text(evidence.get('kind', ''))}</code>"
    return (
        f'<td class="{class_}">{text(record.get("text", ""))}</td><td>{kind} {said}</td><td>{where}</td>'
        f"<td>{text(evidence.get('status', ''))}</td>"
    )
