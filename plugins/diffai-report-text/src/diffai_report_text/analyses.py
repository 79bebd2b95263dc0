"""The lines of an analysis: one that a script can read, then at most two of why for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffai_report_text.literals import literal, visible
from diffai_report_text.nested import nested
from diffai_report_text.numbers import at_least, measure, percent
from diffai_report_text.view import GREEN, RED, YELLOW

if TYPE_CHECKING:
    from diffai_core.plugin import Finding, NotCompared
    from diffai_report_text.view import View

_ENVELOPE = ("where", "status", "coverage")
_SHOWN_CHANGES = 20
_GATE_COLORS = {"passed": GREEN, "failed": RED, "undecided": YELLOW}


def analysis_lines(finding: Finding, view: View) -> list[str]:
    """Return ``name: status=…, field=value, …``, the message, and what the values should be read against.

    Where a person should look, ``! `` stands before it.
    """
    sign, color = ("! ", YELLOW) if finding.level == "warning" else ("", "")
    lines = view.paint(view.join(f"{sign}{visible(finding.kind)}: ", _fields(finding, view), 4), color)
    if finding.message:
        lines.append(f"  {visible(finding.message)}")
    yardsticks = [text for text in (_null(finding, view), _threshold(finding, view)) if text]
    if yardsticks:
        lines.append(f"  {'; '.join(yardsticks)}")
    return [*lines, *detail_lines(finding)]


def detail_lines(finding: Finding, indent: int = 2) -> list[str]:
    """Return the further lines of a finding as they are, safe to print."""
    return [f"{' ' * indent}{visible(line)}".rstrip() for line in finding.detail]


def named_change_lines(finding: Finding) -> list[str]:
    """Return what kind of change it is, in one line, and the further lines of the finding."""
    return [f"change: {visible(finding.message)}", *detail_lines(finding)]


def gate_lines(finding: Finding, view: View) -> list[str]:
    """Return ``gate: passed|failed|undecided: rule, field=value, …`` and why."""
    answer = gate_answer(finding)
    rule = visible(str(finding.values.get("rule") or finding.where or finding.message))
    lines = view.join(f"gate: {answer}: ", [rule, *_gate_fields(finding, view)], 4)
    if finding.message and rule != visible(finding.message):
        lines.append(f"  {visible(finding.message)}")
    return [*view.paint(lines, _GATE_COLORS[answer]), *detail_lines(finding)]


def gate_answer(finding: Finding) -> str:
    """Return ``passed``, ``failed`` or ``undecided``; a gate that was not measured is never one that passed."""
    passed = finding.values.get("passed")
    if passed is None or finding.status == "not_measurable":
        return "undecided"
    return "passed" if passed is True else "failed"


def _gate_fields(finding: Finding, view: View) -> list[str]:
    values = [(str(key), value) for key, value in finding.values.items() if key not in {"rule", "passed"}]
    limit = _threshold(finding, view)
    where = [("where", finding.where)] if finding.where and "rule" in finding.values else []
    return [*(f"{visible(key)}={_shown(value, view)}" for key, value in (*where, *values)), *([limit] if limit else [])]


def _fields(finding: Finding, view: View) -> list[str]:
    fields = [f"where={word(finding.where)}"] if finding.where else []
    fields.append(f"status={visible(finding.status)}")
    for key, value in finding.values.items():
        label = f"{key}_value" if key in _ENVELOPE else str(key)
        fields.append(f"{visible(label)}={_shown(value, view)}")
    if finding.coverage is not None:
        fields.append(f"coverage={measure(finding.coverage)}")
    return fields


def word(value: Any) -> str:
    """Return a value of an analysis: text without quotes where it cannot be taken for the next field."""
    if isinstance(value, str):
        bare = value and value.isprintable() and value == value.strip() and not set(value) & set(',="')
        return value if bare else literal(value)
    return measure(value)


def _shown(value: Any, view: View) -> str:
    """Return a value in full or, unless asked for, a long list or mapping as its length."""
    return word(value) if view.full else nested(value, word)


def _null(finding: Finding, view: View) -> str:
    return "" if finding.null is None else f"null: {_yardstick(finding.null, view)}"


def _threshold(finding: Finding, view: View) -> str:
    if finding.threshold is None:
        return ""
    source = f" ({visible(finding.threshold_source)})" if finding.threshold_source else ""
    return f"threshold: {_yardstick(finding.threshold, view)}{source}"


def _yardstick(value: Any, view: View) -> str:
    if isinstance(value, Mapping) and value:
        return ", ".join(f"{visible(str(key))}={_shown(item, view)}" for key, item in value.items())
    return _shown(value, view)


def structure_lines(finding: Finding, view: View) -> list[str]:
    """Return the block that sums up the structure."""
    values = finding.values
    changes = values.get("structural_changes")
    lines = [str(line) for line in changes] if isinstance(changes, (list, tuple)) else []
    shown = lines if view.full or view.width is None else lines[:_SHOWN_CHANGES]
    more = fold_line(len(lines) - len(shown), "structural changes", "--verbose")
    old, new = values.get("parameters_old"), values.get("parameters_new")
    return [
        "Model Changes:",
        *(f"  {visible(line)}" for line in shown or ["No structural changes"]),
        *more,
        f"  Parameters: {_grouped(old)} -> {_grouped(new)} ({_growth(old, new)})",
        f"  Weight updates: {_updates(values.get('parameters_changed_share'))}",
        *detail_lines(finding),
    ]


def _grouped(count: Any) -> str:
    return f"{count:,}" if type(count) is int else measure(count)


def _growth(old: Any, new: Any) -> str:
    if type(old) is not int or type(new) is not int:
        return "change not measurable"
    if old == new:
        return "0% change"
    if old <= 0:
        return "all new"
    return f"{'+' if new > old else ''}{percent((new - old) / old)} change"


def _updates(share: Any) -> str:
    return "not measurable" if share is None else f"{percent(share)} of parameters modified"


def tolerance_line(finding: Finding) -> str:
    """Return which tolerance would let this comparison pass, rounded up."""
    values = finding.values
    limits = [f"{name} {at_least(values[name])}" for name in ("atol", "rtol") if isinstance(values.get(name), float)]
    tensor = values.get("tensor")
    where = f" ({visible(str(tensor))})" if tensor else ""
    return f"  tolerance that would pass: {' or '.join(limits) or 'none'}{where}"


def error_lines(finding: Finding, view: View) -> list[str]:
    """Return which plugin failed at what."""
    where = "" if finding.message.startswith(finding.where) else finding.where
    said = [visible(text) for text in (finding.plugin, where, finding.message) if text]
    return [*view.paint([f"! {': '.join(said) or visible(finding.kind)}"], RED), *detail_lines(finding)]


def remark_lines(finding: Finding, view: View) -> list[str]:
    """Return what a finding whose message says it all is about; in full also its values."""
    sign = "" if finding.level == "info" else "! "
    fields = view.join(f"{visible(finding.kind)}: ", _fields(finding, view), 4) if view.full else []
    return [f"{sign}{visible(finding.message)}", *fields, *detail_lines(finding)]


def not_compared_line(item: NotCompared) -> str:
    """Return what was not compared and why."""
    return f"not compared: {': '.join(visible(text) for text in (item.where, item.reason) if text)}"


def fold_line(hidden: int, noun: str, flag: str) -> list[str]:
    """Return how many lines are not shown and how to see them."""
    return [f"    … {hidden:,} more {noun} ({flag} shows all)"] if hidden else []
