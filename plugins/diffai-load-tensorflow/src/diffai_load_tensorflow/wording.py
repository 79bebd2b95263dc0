"""How messages and trees show what a file says: short, and on one line."""

from __future__ import annotations

import hashlib
from typing import Any

_LIMIT = 80
_MAX_BYTES = 4096


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


def plain(data: bytes) -> Any:
    r"""Return bytes as a tree shows them: as text if they are some, and by digest if they are many.

    Example:
        >>> plain(b"SAME"), plain(b"\xff")
        ('SAME', b'\xff')
    """
    if len(data) > _MAX_BYTES:
        return {"bytes": len(data), "blake2b": hashlib.blake2b(data, digest_size=32).hexdigest()}
    return text_or_bytes(data)
