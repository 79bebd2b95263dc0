"""How much of long lists is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

MOST_CHANGES = 200
"""Rows of a table of changes; what is longer no site shows."""

MOST_ROWS = 20
"""Rows of a table inside an analysis."""


class View(NamedTuple):
    """How much is written.

    Args:
        full: Whether long lists are written in full.
    """

    full: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> View:
        """Return the view that the options ask for."""
        return cls(bool(options.get("full") or options.get("verbose")))

    def some(self, rows: Sequence[T], most: int = MOST_CHANGES) -> Sequence[T]:
        """Return the rows that are written."""
        return rows if self.full else rows[:most]

    def more(self, hidden: int, noun: str) -> str:
        """Return how many rows are not written and how to get them; empty if all are."""
        return f"… {hidden:,} more {noun} (`--verbose` writes all)" if hidden > 0 else ""
