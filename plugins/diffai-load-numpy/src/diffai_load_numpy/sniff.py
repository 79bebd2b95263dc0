"""Tells an archive of arrays from the other formats that are zip files."""

from __future__ import annotations

_NAME_LENGTH = 26
_NAME = 30


def looks_like_npz(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file that begins with ``head`` is a zip file whose first member is named ``….npy``.

    An archive without members is known by its suffix alone: an empty zip file is an empty anything.
    """
    if not head.startswith(b"PK\x03\x04"):
        return False
    length = int.from_bytes(head[_NAME_LENGTH : _NAME_LENGTH + 2], "little")
    return head[_NAME : _NAME + length].endswith(b".npy")
