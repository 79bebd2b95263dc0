"""Small tables for people: what is on the left and what is on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 78
_LABEL, _CELL = 24, 26


def table(rows: Iterable[tuple[str, Any, Any]]) -> tuple[str, ...]:
    """Return one line for each row, at most 78 columns wide; rows that are unknown on both sides are left out.

    Example:
        >>> table([("depth", 12, 24)])[1]
        'depth                                             12                        24'
    """
    lines = [f"{'':<{_LABEL}}{'old':>{_CELL}}{'new':>{_CELL}}"]
    lines += [
        f"{_fit(label, _LABEL - 1):<{_LABEL}}{_cell(old)}{_cell(new)}"
        for label, old, new in rows
        if old is not None or new is not None
    ]
    return tuple(lines)


def _cell(value: Any) -> str:
    return f"{_fit(_shown(value), _CELL - 1):>{_CELL}}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
