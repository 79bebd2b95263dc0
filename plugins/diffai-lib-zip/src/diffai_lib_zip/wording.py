"""How messages show what a file says: short and on one line, whatever it is."""

from __future__ import annotations

_LIMIT = 80


def short(text: str) -> str:
    """Return the start of a text.

    Example:
        >>> short("float32")
        'float32'
    """
    return text if len(text) <= _LIMIT else f"{text[:_LIMIT]}…"


def brief(value: object) -> str:
    """Return a value as Python writes it.

    Example:
        >>> brief((3, 4)), brief("<f4")
        ('(3, 4)', "'<f4'")
    """
    return short(repr(value))
