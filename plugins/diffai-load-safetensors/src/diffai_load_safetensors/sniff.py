"""Recognises a safetensors file, or the index of a sharded one, by its first bytes."""

from __future__ import annotations

import re

MAX_HEADER_BYTES = 100_000_000
"""Longest header that the format allows."""
LENGTH_BYTES = 8
"""Bytes before the header: its length, little-endian."""

_HEADER_START = re.compile(rb'\{[ \t\n\r]*["}]')
_INDEX_START = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"')
_SHARD_NAME = re.compile(rb'\.safetensors"')


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether the file that begins with ``head`` and has ``size`` bytes is a safetensors file or an index.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    return is_tensor_file(head, size) or looks_like_index(head)


def looks_like_index(head: bytes) -> bool:
    """Whether ``head`` begins a ``*.safetensors.index.json``; the index of a PyTorch checkpoint is none."""
    return bool(_INDEX_START.match(head) and b'"weight_map"' in head and _SHARD_NAME.search(head))


def is_tensor_file(head: bytes, size: int) -> bool:
    """Whether the file begins with a plausible header length and a JSON object."""
    n_header = int.from_bytes(head[:LENGTH_BYTES], "little")
    fits = len("{}") <= n_header <= min(MAX_HEADER_BYTES, size - LENGTH_BYTES)
    return fits and _HEADER_START.match(head, LENGTH_BYTES) is not None
