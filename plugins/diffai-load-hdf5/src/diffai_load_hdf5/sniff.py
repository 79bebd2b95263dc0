"""Tells a Keras archive from the other formats that are zip files."""

from __future__ import annotations

_NAME_LENGTH = 26
_NAME = 30
_FIRST_MEMBERS = (b"metadata.json", b"config.json", b"model.weights.h5")


def looks_like_keras(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file that begins with ``head`` is a zip file whose first member is one of those of a Keras archive."""
    if not head.startswith(b"PK\x03\x04"):
        return False
    length = int.from_bytes(head[_NAME_LENGTH : _NAME_LENGTH + 2], "little")
    return head[_NAME : _NAME + length] in _FIRST_MEMBERS
