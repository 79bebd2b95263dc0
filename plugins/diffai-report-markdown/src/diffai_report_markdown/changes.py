"""What changed: tensors, entries of configs and metadata, and what only one analysis knows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeGuard

from diffai_report_text.literals import literal, name
from diffai_report_text.numbers import at_least, measure, percent

from diffai_core.plugin import ABSENT
from diffai_report_markdown.analyses import further, values_of
from diffai_report_markdown.marks import code, heading, paragraph, prose, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from diffai_core.plugin import Finding
    from diffai_report_markdown.view import View

_MOST_CHARACTERS = 160
_SIDES = frozenset({"tensor_stats_changed", "tensor_within_tolerance", "tensor_bits_changed"})
_WHAT = {
    "tensor_stats_changed": "changed",
    "tensor_within_tolerance": "within tolerance",
    "tensor_bits_changed": "equal values, other bits",
    "tensor_kept": "same form",
}
_SIGNS = {"added": "+", "removed": "-", "modified": "~", "type_changed": "!"}


def tensor_changes(findings: Sequence[Finding], view: View) -> Iterator[str]:
    """Yield the tensors that differ, and for each that changed how much."""
    tables = [finding for finding in findings if finding.kind != "tensor_statistics"]
    if tables:
        yield heading(3, "Tensors")
        shown = view.some(tables)
        columns = [
            "tensor",
            "what",
            "rel_change",
            "max abs diff",
            "1 - cos",
            "changed",
            *(["mean", "std"] if view.full else []),
        ]
        yield from table(columns, (_tensor(finding, view) for finding in shown), numbers=range(2, 6))
        yield paragraph(view.more(len(tables) - len(shown), "tensors"))
        yield from _below(shown)
    statistics = [finding for finding in findings if finding.kind == "tensor_statistics"]
    if statistics:
        yield heading(3, "Distributions")
    for finding in view.some(statistics, 20):
        yield from _sides(finding, view)
    yield paragraph(view.more(len(statistics) - len(view.some(statistics, 20)), "tensors"))


def _tensor(finding: Finding, view: View) -> list[str]:
    values = finding.values
    largest = measure(values["max_abs_diff"]) if "max_abs_diff" in values else ""
    index = values.get("max_abs_diff_index")
    place = f" at {literal(list(index))}" if _is_index(index) else ""
    cells = [
        code(name(finding.where)),
        _what(finding),
        measure(values["rel_change"]) if "rel_change" in values else "",
        f"{largest}{place}",
        measure(values["one_minus_cos"]) if "one_minus_cos" in values else "",
        percent(values["changed_share"]) if "changed_share" in values else "",
    ]
    return [*cells, _both(finding, "mean"), _both(finding, "std")] if view.full else cells


def _is_index(value: Any) -> TypeGuard[Sequence[int]]:
    return isinstance(value, (list, tuple)) and bool(value) and all(type(item) is int for item in value)


def _what(finding: Finding) -> str:
    if finding.kind in _WHAT:
        return _WHAT[finding.kind]
    if finding.kind in {"tensor_renamed", "tensor_prefix_changed"}:
        return f"renamed from {code(name(str(finding.old)))}"
    what = prose(finding.kind.removeprefix("tensor_").replace("_", " "))
    sides = [_brief(side) for side in (finding.old, finding.new) if side is not ABSENT]
    return f"{what}: {' → '.join(sides)}" if sides else what


def _both(finding: Finding, field: str) -> str:
    if finding.kind not in _SIDES or not isinstance(finding.old, Mapping) or not isinstance(finding.new, Mapping):
        return ""
    return f"{prose(measure(finding.old.get(field)))} → {prose(measure(finding.new.get(field)))}"


def _brief(side: Any) -> str:
    """Return what a tensor is, or a value, shortened."""
    if isinstance(side, Mapping) and side:
        return ", ".join(f"{prose(str(field))} {_value(value)}" for field, value in side.items())
    return _value(side)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) and value.isidentifier() else literal(value)
    return code(text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…")


def _sides(finding: Finding, view: View) -> Iterator[str]:
    """Yield the measures of both sides of one tensor, each on a row."""
    old = finding.old if isinstance(finding.old, Mapping) else {}
    new = finding.new if isinstance(finding.new, Mapping) else {}
    fields = [*old, *(field for field in new if field not in old)]
    yield paragraph(f"{code(name(finding.where))} ({prose(finding.status)}): {values_of(finding.values, view)}")
    rows = ([prose(str(field)), _measured(old, field), _measured(new, field)] for field in fields)
    yield from table(["measure", "OLD", "NEW"], rows)
    yield from further(finding)


def _measured(side: Mapping[str, Any], field: str) -> str:
    return prose(measure(side[field])) if field in side else ""


def entry_changes(findings: Sequence[Finding], view: View) -> Iterator[str]:
    """Yield the entries of configs and metadata that differ."""
    if not findings:
        return
    yield heading(3, "Config and metadata")
    shown = view.some(findings)
    yield from table(["", "entry", "OLD", "NEW"], map(_entry, shown))
    yield paragraph(view.more(len(findings) - len(shown), "entries"))
    yield from _below(shown)


def _entry(finding: Finding) -> list[str]:
    sides = ["" if side is ABSENT else _value(side) for side in (finding.old, finding.new)]
    return [_SIGNS.get(finding.kind, ""), code(name(finding.where)), *sides]


def other_changes(findings: Sequence[Finding], view: View) -> Iterator[str]:
    """Yield differences of kinds that only their analysis knows, one table for each kind."""
    for kind, group in groupby(sorted(findings, key=lambda finding: finding.kind), key=lambda finding: finding.kind):
        members = list(group)
        yield heading(3, prose(kind.replace("_", " ")))
        shown = view.some(members)
        yield from table(["where", "OLD", "NEW", "values"], (_other(finding, view) for finding in shown))
        yield paragraph(view.more(len(members) - len(shown), "findings"))
        yield from _below(shown)


def _other(finding: Finding, view: View) -> list[str]:
    return [*_entry(finding)[1:], values_of(finding.values, view)]


def _below(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield messages and further lines, which do not fit a row."""
    for finding in findings:
        if finding.message and finding.kind != "tensor_prefix_changed":
            yield paragraph(f"{code(name(finding.where))}: {prose(finding.message)}")
        yield from further(finding)


def tolerance(finding: Finding) -> str:
    """Return which tolerance would let this comparison pass, rounded up."""
    values = finding.values
    limits = [
        f"{limit} {at_least(values[limit])}" for limit in ("atol", "rtol") if isinstance(values.get(limit), float)
    ]
    tensor = f" ({code(name(str(values['tensor'])))})" if values.get("tensor") else ""
    return f"Tolerance that would pass: {' or '.join(limits) or 'none'}{tensor}"
