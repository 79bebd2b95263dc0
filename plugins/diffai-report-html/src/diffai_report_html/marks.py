r"""Pieces of HTML in which no name and no value can become markup.

All text goes through :func:`text`: markup is escaped, and what cannot be printed is written as an escape (``\u001b``).
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from diffai_report_text.analyses import word
from diffai_report_text.literals import name, visible
from diffai_report_text.nested import nested
from diffai_report_text.numbers import measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MOST_CHARACTERS = 400


def text(content: object) -> str:
    """Return text that a page can hold, also inside the quotes of an attribute."""
    return escape(visible(str(content)))


def key(content: str) -> str:
    """Return the name of a tensor or an entry."""
    return f'<span class="key">{text(name(content))}</span>'


def shown(value: Any) -> str:
    """Return a value in a few words: numbers with three digits, long lists as how many items they hold."""
    if isinstance(value, float):
        return text(measure(value))
    said = nested(value, word)
    return text(said if len(said) <= _MOST_CHARACTERS else f"{said[: _MOST_CHARACTERS - 1]}…")


def is_number(value: Any) -> bool:
    """Whether a value is set to the right."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """Return a table cell with a value."""
    return f'<td class="n">{shown(value)}</td>' if is_number(value) else f"<td>{shown(value)}</td>"


def table(caption: str, columns: Sequence[str], rows: Iterable[str]) -> Iterator[str]:
    """Yield a table.

    Args:
        caption: What it holds, a piece of HTML; empty for none.
        columns: Heads as text.
        rows: The cells of each row, pieces of HTML.
    """
    heads = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    said = f"<caption>{caption}</caption>" if caption else ""
    yield f'<div class="scroll"><table>{said}<thead><tr>{heads}</tr></thead><tbody>\n'
    for row in rows:
        yield f"<tr>{row}</tr>\n"
    yield "</tbody></table></div>\n"


def pre(lines: Sequence[str]) -> str:
    """Return lines of fixed width; empty if there are none."""
    return "<pre>{}</pre>\n".format("\n".join(map(text, lines))) if lines else ""
