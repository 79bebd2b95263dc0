"""How messages and trees show what a file says: short, and on one line."""

from __future__ import annotations

MAX_SHOWN_BYTES = 4096
"""Longest text or bytes that a tree shows; for longer ones their digest stands."""


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
