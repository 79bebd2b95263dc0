"""Recognises a Flax file: a msgpack map with names as keys, in which an array begins soon."""

from __future__ import annotations

import re

_BEGINNING = re.compile(rb"[\x81-\x8f\xde\xdf]")
_FIRST_KEY = re.compile(rb"(?:[\x81-\x8f]|\xde..|\xdf....)(?:[\xa0-\xbf]|\xd9.|\xda..)[A-Za-z0-9_]", re.DOTALL)
_ARRAY = re.compile(rb"(?:[\xc7].|\xc8..|\xc9....)[\x01\x03]\x93[\x90-\x9f]", re.DOTALL)


def looks_like_flax(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file that begins with ``head`` is a msgpack map of names in which Flax' arrays stand."""
    return bool(_BEGINNING.match(head) and _FIRST_KEY.match(head) and _ARRAY.search(head))
