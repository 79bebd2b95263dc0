"""How messages and trees show what a file says: short, and on one line."""

from __future__ import annotations

_LIMIT = 80
MAX_SHOWN_BYTES = 4096
"""Longest text or bytes that a tree shows; for longer ones their digest stands."""


def shown(name: str) -> str:
    r"""Return a name in quotes, not endless.

    Example:
        >>> shown("a\nb")
        "'a\\nb'"
    """
    return repr(name if len(name) <= _LIMIT else f"{name[:_LIMIT]}…")


def text_or_bytes(data: bytes) -> str | bytes:
    r"""Return UTF-8 as text and anything else as it is.

    Example:
        >>> text_or_bytes(b"serve"), text_or_bytes(b"\xff")
        ('serve', b'\xff')
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
