"""Where in the model the change is: blocks by roles."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from diffai_lib_layers import place

from diffai_compare_report.chart import chart
from diffai_compare_report.weigh import change_of, is_unchanged, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from diffai_compare_report.weigh import Change
    from diffai_core.plugin import PairResult

OUTSIDE = "outside blocks"
"""Label of the row for tensors that are in no block."""

IDENTICAL = "="
"""What stands in a cell whose tensors hold equal values."""

_ROLES = (
    *("embed", "position", "q", "k", "v", "kv", "qkv", "q_a", "q_b", "kv_a", "kv_b", "o", "gate", "up", "gate_up"),
    *("down", "mlp", "router", "expert", "lora_a", "lora_b", "conv", "bn", "rnn", "ssm", "norm", "scale", "head"),
    "other",
)
_SHADES = ((-4, "·"), (-3, "░"), (-2, "▒"), (-1, "▓"))
_MOST_ROWS = 40
_MOST_COLUMNS = 78
_LONGEST_ROLE = 8
_LEGEND = "log10 rel_change: = none  · <1e-4  ░ <1e-3  ▒ <1e-2  ▓ <1e-1  █ >=1e-1"


def heat_map(results: Iterable[PairResult]) -> dict[str, Any] | None:
    """Return the chart of the relative change of each block and role; ``None`` without tensors on both sides.

    A cell is ``log10(‖D‖/‖A‖)`` over all its tensors, ``"="`` where all are equal, ``None`` where there is no tensor or
    no measurable change.
    """
    changed: dict[tuple[str, str], list[Change]] = defaultdict(list)
    cells: dict[tuple[str, str], tuple[str, int]] = {}
    unchanged = set()
    for result in results:
        change = change_of(result)
        if change is None and not is_unchanged(result):
            continue
        cell, order = _cell(result.pair.key)
        cells.setdefault(cell, order)
        if change is None:
            unchanged.add(cell)
        else:
            changed[cell].append(change)
    if not cells:
        return None
    labels = sorted({cell[0]: order for cell, order in cells.items()}.items(), key=lambda item: item[1])
    roles = sorted({role for _, role in cells}, key=_rank)
    rows = [
        [label, *(_value(changed.get((label, role)), (label, role) in unchanged) for role in roles)]
        for label, _ in labels
    ]
    return chart(
        "heat_map", "Relative change by block and role", "role", "block", "log10 rel_change", ["block", *roles], rows
    )


def _cell(key: str) -> tuple[tuple[str, str], tuple[str, int]]:
    """Return block and role of a tensor, and where its block stands among the others."""
    where = place(key)
    if where.block is None:
        return (OUTSIDE, where.role), ("", -1)
    return (where.block_name, where.role), (where.prefix, where.block)


def _rank(role: str) -> tuple[int, str]:
    return (_ROLES.index(role) if role in _ROLES else len(_ROLES), role)


def _value(changes: list[Change] | None, unchanged: bool) -> float | str | None:
    if not changes:
        return IDENTICAL if unchanged else None
    rel_change = together(changes)
    if rel_change is None:
        return None
    return math.log10(rel_change) if rel_change > 0 else IDENTICAL


def in_shades(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the heat map as lines of at most 80 columns."""
    roles: Sequence[str] = found["columns"][1:]
    rows = found["rows"]
    labels = [_short(str(row[0])) for row in rows[:_MOST_ROWS]]
    width = max(map(len, labels), default=0)
    shown = _fitting(roles, _MOST_COLUMNS - width)
    yield f"{'':{width}}{''.join(f'  {role[:_LONGEST_ROLE]}' for role in shown)}".rstrip()
    for label, row in zip(labels, rows, strict=False):
        cells = [f"  {_shade(value):{len(role[:_LONGEST_ROLE])}}" for role, value in zip(shown, row[1:], strict=False)]
        yield f"{label:{width}}{''.join(cells)}".rstrip()
    hidden = len(rows) - len(labels)
    if hidden > 0 or len(shown) < len(roles):
        yield f"… {max(hidden, 0)} more blocks, {len(roles) - len(shown)} more roles"
    yield _LEGEND


def _fitting(roles: Sequence[str], room: int) -> list[str]:
    """Return the first roles whose columns fit."""
    shown: list[str] = []
    for role in roles:
        room -= 2 + len(role[:_LONGEST_ROLE])
        if room < 0 and shown:
            break
        shown.append(role)
    return shown


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"…{label[-23:]}"  # noqa: PLR2004 - leaves room for the roles


def _shade(value: Any) -> str:
    if not isinstance(value, float):
        return value or ""
    return next((shade for limit, shade in _SHADES if value < limit), "█")
