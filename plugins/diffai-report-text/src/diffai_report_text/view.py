"""How the text is to be shown, and what follows from it: colours, elision, line breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GREEN, RED, YELLOW, MAGENTA, CYAN = "32", "31", "33", "35", "36"

_ELLIPSIS = "…"


class View(NamedTuple):
    """Where the text goes.

    Args:
        color: Whether to use colours.
        width: Columns of the terminal; ``None`` when the text goes to a file or pipe: then every line is whole.
        full: Whether long lists are written in full and differences with every measure.
    """

    color: bool = False
    width: int | None = None
    full: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> View:
        """Return the view that the options ask for."""
        full = bool(options.get("full") or options.get("verbose"))
        return cls(bool(options.get("color")), options.get("width"), full)

    def paint(self, lines: Iterable[str], color: str) -> list[str]:
        """Return the lines in a colour, each by itself."""
        return [f"\x1b[{color}m{line}\x1b[0m" if self.color and color else line for line in lines]

    def join(self, head: str, fields: Sequence[str], hanging: int) -> list[str]:
        """Return ``head`` and the fields, separated by commas, in as many lines as a terminal needs.

        Lines break only between fields, so that no number is cut; further lines are indented by ``hanging``.
        """
        if not fields:
            return [head.removesuffix(": ")]
        if self.width is None:
            return [head + ", ".join(fields)]
        words = [f"{field}," for field in fields[:-1]] + [fields[-1]]
        lines, line = [], head + words[0]
        for word in words[1:]:
            if len(line) + 1 + len(word) <= self.width:
                line += f" {word}"
            else:
                lines.append(line)
                line = " " * hanging + word
        return [*lines, line]


def elide(text: str, columns: int) -> str:
    """Shorten ``text`` in the middle to at most ``columns`` characters.

    Example:
        >>> elide("encoder.layer.10.attention.query.weight", 20)
        'encoder.la…ry.weight'
    """
    if len(text) <= columns:
        return text
    head = columns // 2
    tail = columns - head - len(_ELLIPSIS)
    return f"{text[:head]}{_ELLIPSIS}{text[len(text) - tail :]}"
