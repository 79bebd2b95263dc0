r"""Pieces of Markdown in which no name and no value can become markup.

Names and values stand in code spans; sentences are escaped. What cannot be printed is written as an escape
(``\u001b``), so no piece has a line break or a control character.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diffai_report_text.literals import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LIVE = re.compile(r"\S*(?:@\w|#\d|://|www\.|\w@)\S*", re.ASCII)
"""Words that a site turns into a mention, a reference or a link."""

_SPECIAL = re.compile(r"[\\`*\[\]<~$]|&(?=#|\w)|(?<![^\W_])_|_(?![^\W_])")
_BLOCK_START = re.compile(r"^(\s*)(>|[-+#](?=[-+#\s]|$)|\d+(?=[.)](?:\s|$)))")
_TICKS = re.compile(r"`+")
_LEAST_FENCE = 3


def code(text: str) -> str:
    """Return a code span that shows exactly ``text``.

    Example:
        >>> print(code("fc.weight"), code("a`b"), code("`"))
        `fc.weight` ``a`b`` `` ` ``
    """
    shown = visible(text)
    if not shown.strip(" "):
        shown = f'"{shown}"'  # a span of spaces alone is shown as nothing
    ticks = "`" * (1 + max(map(len, _TICKS.findall(shown)), default=0))
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def prose(text: str) -> str:
    r"""Return a sentence with its markup escaped; words that a site would make live stand in code spans.

    Example:
        >>> print(prose("a*b is <i> in fc_1.weight, see @you"))
        a\*b is \<i> in fc_1.weight, see `@you`
    """
    shown = visible(text).strip()
    pieces, end = [], 0
    for word in _LIVE.finditer(shown):
        pieces += [_escaped(shown[end : word.start()]), code(word[0])]
        end = word.end()
    return _safe_start("".join([*pieces, _escaped(shown[end:])]))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)


def _safe_start(text: str) -> str:
    """Escape what would make a list, a heading or a rule of a line."""

    def escaped(found: re.Match[str]) -> str:
        if found[2].isdigit():
            return f"{found[1]}{found[2]}\\"
        return f"{found[1]}\\{found[2]}"

    return _BLOCK_START.sub(escaped, text)


def fenced(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines as a fenced block that none of them can end."""
    shown = [visible(line).rstrip() for line in lines]
    longest = max((len(ticks) for line in shown for ticks in _TICKS.findall(line)), default=0)
    fence = "`" * max(_LEAST_FENCE, longest + 1)
    yield f"{fence}text\n"
    for line in shown:
        yield f"{line}\n"
    yield f"{fence}\n\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> Iterator[str]:
    """Yield a table.

    Args:
        columns: Heads, pieces of Markdown.
        rows: Cells, pieces of Markdown.
        numbers: Columns that are set to the right.
    """
    right = set(numbers)
    yield _row(columns)
    yield _row(["--:" if column in right else "---" for column in range(len(columns))])
    for row in rows:
        yield _row(row)
    yield "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def heading(level: int, piece: str) -> str:
    """Return a heading of a piece of Markdown."""
    return f"{'#' * level} {piece}\n\n"


def paragraph(piece: str) -> str:
    """Return a paragraph of a piece of Markdown."""
    return f"{piece}\n\n" if piece else ""
