"""Small tables for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_STEP = 1000
_WIDTH = 28


def size(n_bytes: float | None) -> str:
    """Return bytes as people write them.

    Example:
        >>> size(1536), size(None)
        ('1.54 kB', '-')
    """
    return "-" if n_bytes is None else _scaled(n_bytes, _UNITS)


def seconds(value: float | None) -> str:
    """Return a time as people write it.

    Example:
        >>> seconds(0.0123), seconds(None)
        ('12.3 ms', '-')
    """
    if value is None:
        return "-"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def _scaled(value: float, units: Sequence[str]) -> str:
    index = 0
    while abs(value) >= _STEP and index < len(units) - 1:
        value, index = value / _STEP, index + 1
    return f"{value:.3g} {units[index]}"


def bytes_table(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """Return a table of some terms on both sides, with their ratio; terms that neither side has are left out."""
    return tuple(_bytes_rows(before, after, names))


def _bytes_rows(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    yield row("", "old", "new", "new/old")
    for name in names:
        if before[name] or after[name]:
            old, new = before[name], after[name]
            share = f"{new / old:.3g}" if old and new is not None else "-"
            yield row(name, size(old), size(new), share)


def row(name: str, *cells: str) -> str:
    """Return a line of a table."""
    return f"{name:<{_WIDTH}}{''.join(f'{cell:>14}' for cell in cells)}"
