"""Recognises pickles by their first bytes, also inside compressed files."""

from __future__ import annotations

import re

from diffai_load_pickle.methods import method_of

_TORCH = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
# What can follow the version: a frame, or an operation that makes a value.
_BINARY = re.compile(
    rb"\x80(?:[\x04\x05]\x95.{6}\0\0|[\x02-\x05][}\])\x8c(cXKMJGN\x88\x89U\x8f\x91CBT\x96\x8a\x8e])", re.DOTALL
)
_TEXT = re.compile(
    rb"(?:ccopy_reg\n_reconstructor\n|\((?:[dl]p\d+\n|[ild]\w+\n)|c[a-z_][\w.]{1,100}\n\w{1,100}\np?\d*\n?\()"
)
_SKOPS = re.compile(
    rb"PK\x03\x04.{26}(?:schema\.json|\d{12,20}\.np[yz]|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.bin)", re.DOTALL
)
_SMALLEST = 5
_LOOK = 64
_LZ4_HEADER = 7


def looks_like_pickle(head: bytes, size: int) -> bool:
    """Whether a file is a pickle of more than a single plain value, perhaps compressed, and not of PyTorch.

    Args:
        head: First bytes of the file.
        size: Bytes in the file.
    """
    if size < _SMALLEST:
        return False
    method = method_of(head)
    if method is None:
        return _is_pickle(head)
    return _is_pickle(_first_literals(head) if method.name == "lz4" else _unpacked(head))


def looks_like_skops(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file is a zip file whose first member is one that skops writes: its schema, or an array by its id."""
    return _SKOPS.match(head) is not None


def _is_pickle(head: bytes) -> bool:
    return (_BINARY.match(head) or _TEXT.match(head)) is not None and _TORCH not in head[:_LOOK]


def _unpacked(head: bytes) -> bytes:
    """Return the first bytes of what is compressed, as far as the first 4 KiB tell."""
    method = method_of(head)
    assert method is not None
    try:
        return method.make().decompress(head[method.skip :], _LOOK)
    except method.errors():
        return b""


def _first_literals(head: bytes) -> bytes:
    """Return the first bytes of a frame of lz4, which stand there as they are: no package is needed for them."""
    flags = head[4] if len(head) > _LZ4_HEADER else 0
    start = _LZ4_HEADER + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
    block = head[start : start + _LOOK]
    if block[3:4] >= b"\x80":  # a block that is not compressed
        return block[4:]
    return block[6:] if block[4:5] >= b"\xf0" else block[5:]
