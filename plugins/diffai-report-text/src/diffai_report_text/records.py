"""The line of one tensor or one entry: sign, key, what changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import ABSENT
from diffai_report_text.literals import literal, name, visible
from diffai_report_text.numbers import fixed, measure, percent
from diffai_report_text.view import CYAN, GREEN, MAGENTA, RED, View, elide

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffai_core.plugin import Finding

_HANGING = 6
_LEAST_KEY = 24
_LEAST_VALUE = 16
_COLORS = {"+": GREEN, "-": RED, "~": CYAN, "!": MAGENTA, " ": ""}
_SHORT_DTYPES = (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i"), ("complex", "c"))
_STATISTICS = frozenset({"tensor_stats_changed", "tensor_within_tolerance", "tensor_bits_changed"})
_REMARKS = {
    "tensor_within_tolerance": "within tolerance",
    "tensor_bits_changed": "equal values, other bits",
    "reshape_only": "same values in the same order",
    "values_equal": "values equal",
}
_SHOWN_ELSEWHERE = frozenset({"shape", "dtype", "max_abs_diff_index", "old_type", "new_type"})
_SAY_IT_ALL = frozenset({"tensor_prefix_changed", "tensor_bits_changed"})
_ONLY_IN_FULL = frozenset({"n_changed"})


class Line(NamedTuple):
    """One difference.

    Args:
        sign: ``+ - ~ !``, or a space where nothing changed.
        key: Tensor or entry, safe to print.
        fields: What is to be said about it, safe to print.
    """

    sign: str
    key: str
    fields: list[str]


def record_lines(finding: Finding, view: View) -> list[str]:
    """Return the line of a finding, or the lines that a terminal needs for it, and then its message."""
    line = _FORMS.get(finding.kind, _other)(finding, view)
    measures = _measures(finding, view)
    head = f"  {line.sign} {_short_key(line, measures, view)}: "
    lines = view.join(head, [*line.fields, *measures], _HANGING)
    if finding.message and finding.kind not in _SAY_IT_ALL:
        lines.append(" " * _HANGING + visible(finding.message))
    lines += [f"{' ' * _HANGING}{visible(text)}".rstrip() for text in finding.detail]
    return view.paint(lines, _COLORS[line.sign])


def _short_key(line: Line, measures: list[str], view: View) -> str:
    """Return the key, shortened so that all stands on one line of a terminal, or else at least the fields."""
    if view.width is None:
        return line.key
    rooms = (view.width - len(f"  ~ : {', '.join(fields)},") for fields in ([*line.fields, *measures], line.fields))
    return elide(line.key, max(next((room for room in rooms if room >= _LEAST_KEY), 0), _LEAST_KEY))


def _added(finding: Finding, view: View) -> Line:
    return Line("+", name(finding.where), [_value(finding.new, finding, view, 1)])


def _removed(finding: Finding, view: View) -> Line:
    return Line("-", name(finding.where), [_value(finding.old, finding, view, 1)])


def _modified(finding: Finding, view: View) -> Line:
    old, new = _value(finding.old, finding, view, 2), _value(finding.new, finding, view, 2)
    return Line("~", name(finding.where), [f"{old} -> {new}"])


def _type_changed(finding: Finding, view: View) -> Line:
    old, new = _value(finding.old, finding, view, 2), _value(finding.new, finding, view, 2)
    types = finding.values.get("old_type"), finding.values.get("new_type")
    if None in types:
        types = _type_names(finding.old, finding.new)
    old_type, new_type = (visible(str(type_)) for type_ in types)
    return Line("!", name(finding.where), [f"{old} ({old_type}) -> {new} ({new_type})"])


def _tensor_added(finding: Finding, _view: View) -> Line:
    return Line("+", name(finding.where), _tensor_fields(finding.new))


def _tensor_removed(finding: Finding, _view: View) -> Line:
    return Line("-", name(finding.where), _tensor_fields(finding.old))


def _tensor_kept(finding: Finding, _view: View) -> Line:
    return Line(" ", name(finding.where), _tensor_fields(finding.new))


def _tensor_renamed(finding: Finding, _view: View) -> Line:
    old = name(finding.old) if isinstance(finding.old, str) else literal(finding.old)
    return Line("~", name(finding.where), [f"renamed from {old}"])


def _shape_changed(finding: Finding, _view: View) -> Line:
    return Line("!", name(finding.where), [f"{literal(finding.old)} -> {literal(finding.new)} (shape)"])


def _dtype_changed(finding: Finding, _view: View) -> Line:
    old, new = (side if isinstance(side, str) else literal(side) for side in (finding.old, finding.new))
    return Line("!", name(finding.where), [f"{visible(old)} -> {visible(new)} (dtype)"])


def _statistics(finding: Finding, _view: View) -> Line:
    old, new = _mapping(finding.old), _mapping(finding.new)
    told = ("mean", "std") if old or new else ()
    return Line(
        "~", name(finding.where), [f"{field}={fixed(old.get(field))}->{fixed(new.get(field))}" for field in told]
    )


def _side_by_side(finding: Finding, _view: View) -> Line:
    """Show two sides that are measures by name: each measure once, or twice where it differs."""
    old, new = _mapping(finding.old), _mapping(finding.new)
    fields = [
        f"{visible(str(field))}={_both(old, new, field)}"
        for field in [*old, *(field for field in new if field not in old)]
    ]
    if finding.status != "measured":
        fields.insert(0, f"status={finding.status}")
    return Line(" " if finding.level == "info" else "~", name(finding.where), fields or ["{}"])


def _both(old: Mapping[str, Any], new: Mapping[str, Any], field: str) -> str:
    sides = measure(old.get(field)), measure(new.get(field))
    same = field in old and field in new and literal(old[field]) == literal(new[field])
    return sides[0] if same else "->".join(sides)


def _other(finding: Finding, view: View) -> Line:
    """Show a finding of a kind that only its comparator knows by the sides it has."""
    if finding.old is ABSENT and finding.new is ABSENT:
        sign, fields = "~", []
    elif finding.old is ABSENT:
        sign, fields = "+", _added(finding, view).fields
    elif finding.new is ABSENT:
        sign, fields = "-", _removed(finding, view).fields
    else:
        sign, fields = "~", _modified(finding, view).fields
    sign = {"info": " ", "warning": "!"}.get(finding.level, sign)
    return Line(sign, name(finding.where), [f"{' '.join([*fields, f'({visible(finding.kind)})'])}"])


_FORMS: Mapping[str, Callable[[Finding, View], Line]] = {
    "added": _added,
    "removed": _removed,
    "modified": _modified,
    "type_changed": _type_changed,
    "tensor_added": _tensor_added,
    "tensor_removed": _tensor_removed,
    "tensor_kept": _tensor_kept,
    "tensor_renamed": _tensor_renamed,
    "tensor_prefix_changed": _tensor_renamed,
    "tensor_shape_changed": _shape_changed,
    "tensor_dtype_changed": _dtype_changed,
    "tensor_statistics": _side_by_side,
    **dict.fromkeys(_STATISTICS, _statistics),
}


def _value(value: Any, finding: Finding, view: View, n_values: int) -> str:
    """Return a value, shortened so that the line of ``n_values`` values fits a terminal."""
    text = literal(value)
    if view.width is None:
        return text
    room = view.width - min(len(finding.where), view.width // 2) - _HANGING - 4 * (n_values - 1)
    return elide(text, max(room // n_values, _LEAST_VALUE))


def _type_names(old: Any, new: Any) -> tuple[str, str]:
    names = _type_name(old), _type_name(new)
    if names == ("Number", "Number"):
        return ("Integer" if isinstance(old, int) else "Float"), ("Integer" if isinstance(new, int) else "Float")
    return names


def _type_name(value: Any) -> str:
    for kind, called in (
        (bool, "Boolean"),
        ((int, float), "Number"),
        (str, "String"),
        (Mapping, "Object"),
        ((list, tuple), "Array"),
        ((bytes, bytearray), "Bytes"),
    ):
        if isinstance(value, kind):
            return called
    return "Null" if value is None else type(value).__name__


def _tensor_fields(side: Any) -> list[str]:
    """Return shape, dtype and number of elements of an added or removed tensor."""
    if not isinstance(side, Mapping):
        return [literal(side)]
    return [f"{visible(str(field))}={_tensor_field(field, value)}" for field, value in side.items()] or ["{}"]


def _tensor_field(field: str, value: Any) -> str:
    if field == "dtype" and isinstance(value, str):
        return visible(short_dtype(value))
    if field == "role" and isinstance(value, str):
        return visible(value)
    return literal(value)


def short_dtype(dtype: str) -> str:
    """Return the short form of a dtype.

    Example:
        >>> short_dtype("float32"), short_dtype("bfloat16"), short_dtype("float8_e4m3fn"), short_dtype("bool")
        ('f32', 'bf16', 'f8_e4m3fn', 'bool')
    """
    for long, short in _SHORT_DTYPES:
        if re.match(rf"{long}\d", dtype):
            return short + dtype[len(long) :]
    return dtype


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _measures(finding: Finding, view: View) -> list[str]:
    """Return the further values of a finding, the four that matter most in their own form and place."""
    values = finding.values
    fields = [_MEASURES[field](values) for field in _MEASURES if field in values]
    fields += [_REMARKS[field] for field in _REMARKS if values.get(field) is True]
    if view.full and finding.kind in _STATISTICS:
        old, new = _mapping(finding.old), _mapping(finding.new)
        told = ("min", "max") if old or new else ()
        fields += [f"{field}={measure(old.get(field))}->{measure(new.get(field))}" for field in told]
    known = _SHOWN_ELSEWHERE | _MEASURES.keys() | _REMARKS.keys() | (frozenset() if view.full else _ONLY_IN_FULL)
    fields += [f"{visible(str(field))}={measure(value)}" for field, value in values.items() if field not in known]
    if finding.kind in _REMARKS:
        fields.append(_REMARKS[finding.kind])
    return fields


def _max_abs(values: Mapping[str, Any]) -> str:
    index = values.get("max_abs_diff_index")
    place = f" at {literal(list(index))}" if isinstance(index, (list, tuple)) and index else ""
    return f"max_abs={measure(values['max_abs_diff'])}{place}"


_MEASURES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "rel_change": lambda values: f"rel_change={measure(values['rel_change'])}",
    "max_abs_diff": _max_abs,
    "one_minus_cos": lambda values: f"1-cos={measure(values['one_minus_cos'])}",
    "changed_share": lambda values: f"changed={percent(values['changed_share'])}",
}
