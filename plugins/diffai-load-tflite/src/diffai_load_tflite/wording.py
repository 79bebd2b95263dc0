"""How messages and trees show what a file says: short, and on one line."""

from __future__ import annotations

import hashlib
from typing import Any

_MAX_BYTES = 4096


def plain(data: bytes) -> Any:
    r"""Return bytes as a tree shows them: as text if they are some, and by digest if they are many.

    Example:
        >>> plain(b"1.5.0\0\0\0"), plain(b"\0\1")
        ('1.5.0', b'\x00\x01')
    """
    if len(data) > _MAX_BYTES:
        return {"bytes": len(data), "blake2b": hashlib.blake2b(data, digest_size=32).hexdigest()}
    try:
        text = data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return data
    return text if text.isprintable() else data
