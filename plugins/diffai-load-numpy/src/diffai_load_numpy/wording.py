"""How messages show what a file says: short and on one line, whatever it is."""

from __future__ import annotations

_LIMIT = 80


def shown(name: str) -> str:
    r"""Return a name in quotes.

    Example:
        >>> shown("a\nb")
        "'a\\nb'"
    """
    return repr(name if len(name) <= _LIMIT else f"{name[:_LIMIT]}…")


def brief(value: object) -> str:
    """Return a value as Python writes it.

    Example:
        >>> brief((3, 4)), brief("<f4")
        ('(3, 4)', "'<f4'")
    """
    text = repr(value)
    return text if len(text) <= _LIMIT else f"{text[:_LIMIT]}…"
