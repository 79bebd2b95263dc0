"""Damaged copies of a file: cut short, bits flipped, counts replaced by lies. The same ones every time."""

from __future__ import annotations

import random
from typing import NamedTuple

_LIES = (b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 8, b"\0\0\0\0\0\0\0\x80", b"99999999", b"-1,-1,-1", b"[[[[[[[[")
_HEADER = 1024


class Damaged(NamedTuple):
    """A damaged copy.

    Args:
        label: What was done to it, usable as a file name.
        data: Its bytes.
    """

    label: str
    data: bytes


def truncations(data: bytes, count: int) -> list[Damaged]:
    """Return ``data`` cut to about ``count`` lengths, among them the shortest, the longest and half."""
    size = len(data)
    always = {*range(min(size, 9)), size // 2, *(size - back for back in (1, 2, 4, 8) if back <= size)}
    rest = sorted(set(range(size)) - always)
    chosen = random.Random(size).sample(rest, min(len(rest), max(count - len(always), 0)))  # noqa: S311 - not a secret
    return [Damaged(f"cut-to-{length}", data[:length]) for length in sorted(always | set(chosen)) if length < size]


def flips(data: bytes, count: int) -> list[Damaged]:
    """Return ``count`` copies of ``data``, each with one bit flipped or eight bytes replaced; mostly near the start."""
    if not data:
        return []
    rng = random.Random(len(data))  # noqa: S311 - not a secret
    damaged = []
    for number in range(count):
        end = min(len(data), _HEADER) if number % 4 else len(data)
        at = rng.randrange(end)
        copy = bytearray(data)
        if number % 2:
            bit = rng.randrange(8)
            copy[at] ^= 1 << bit
            label = f"bit-{bit}-of-byte-{at}"
        else:
            lie = rng.choice(_LIES)
            copy[at : at + len(lie)] = lie[: len(data) - at]
            label = f"bytes-at-{at}-{lie.hex()}"
        damaged.append(Damaged(label, bytes(copy)))
    return damaged
