"""Recognises a Core ML model by its first bytes: a version, a description, and then what kind of model it is."""

from __future__ import annotations

_LATEST_VERSION = 64
_FIRST_KIND = 200
_IS_UPDATABLE = 10
_DESCRIBED = frozenset({1, 10, 11, 12, 13, 20, 21, 50, 100})
_VARINT, _LENGTH = 0, 2
_MAX_DIGITS = 10


def looks_like_coreml(head: bytes, size: int) -> bool:
    """Whether the file that begins with ``head`` and has ``size`` bytes is a Core ML model.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    if head[:1] != b"\x08" or not 0 < head[1:2][:1].ljust(1, b"\0")[0] <= _LATEST_VERSION or head[2:3] != b"\x12":
        return False
    length, start = _number(head, 3)
    if length is None or start + length >= size:  # something must follow
        return False
    return _is_description(head[start : start + length]) and _goes_on(head, start + length, size)


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """Return a number of variable length and the place behind it; ``None`` if it is not all there."""
    value = 0
    for index, byte in enumerate(data[at : at + _MAX_DIGITS]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
            return value, at + index + 1
    return None, at


def _is_description(data: bytes) -> bool:
    """Whether ``data``, which may be cut off, holds fields of a description; its features begin with their names."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        if tag is None or tag & 7 != _LENGTH or tag >> 3 not in _DESCRIBED:
            return tag is None
        length, at = _number(data, at)
        if length is None:
            return True
        if tag >> 3 == 1 and length and data[at : at + 1] not in {b"\x0a", b""}:
            return False
        at += length
    return True


def _goes_on(head: bytes, at: int, size: int) -> bool:
    """Whether what follows the description is the kind of the model, if that can be seen."""
    while at < len(head):
        tag, behind = _number(head, at)
        if tag is None:
            return size > len(head)
        if tag >> 3 != _IS_UPDATABLE or tag & 7 != _VARINT:
            return tag >> 3 >= _FIRST_KIND and tag & 7 == _LENGTH
        at = _number(head, behind)[1]
    return size > len(head)
