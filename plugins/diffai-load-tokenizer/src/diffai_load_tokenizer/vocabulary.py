"""What all tokenizers have in common: tokens with ids, and merges with ranks."""

from __future__ import annotations

import json
from functools import cache
from itertools import chain
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from diffai_core.plugin import DataFile, Source

MAX_BYTES = 256 << 20
"""Largest file that is read; the largest tokenizers of 2026 have some 40 MB."""
_BYTES = 256


def open_tree(source: Source, name: str, read: Callable[[DataFile], dict[str, Any]]) -> Artifact:
    """Open a file that is nothing but a tree.

    Args:
        source: The file.
        name: Name of the format.
        read: Returns the tree.

    Raises:
        LoadError: If the file cannot be read.
    """
    file = source.open()
    try:
        tree = read(file)
    except BaseException:
        file.close()
        raise
    return Artifact(name=source.name, format=name, tree=tree, files=(file,))


def vocabulary(tokens: Sequence[str], *columns: Sequence[Any]) -> dict[str, Any]:
    """Return the part of a tree that says which token has which id: its place.

    Where a token is there several times, the last place is its id, as tokenizers have it, and ``duplicate_tokens``
    holds the others, each with what ``columns`` say of its place.
    """
    ids = {token: number for number, token in enumerate(tokens)}
    if len(ids) == len(tokens):
        return {"vocab": ids}
    hidden = [number for number, token in enumerate(tokens) if ids[token] != number]
    rows = [[tokens[number], number, *(column[number] for column in columns)] for number in hidden]
    return {"vocab": ids, "duplicate_tokens": rows}


def ranks(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the part of a tree that says which merge has which rank: its place.

    A merge is written as in a merges.txt, ``left right``, or as a JSON list where a token holds a space. A merge that
    is there several times has the last of its ranks, as tokenizers have it; ``duplicate_merges`` holds the others.
    """
    found: dict[str, int] = {}
    again: list[list[Any]] = []
    for rank, (left, right) in enumerate(pairs):
        plain = " " not in left and " " not in right
        merge = f"{left} {right}" if plain else json.dumps([left, right], ensure_ascii=False)
        if merge in found:
            again.append([merge, found[merge]])
        found[merge] = rank
    return {"merges": found, "duplicate_merges": again} if again else {"merges": found}


def plain_ranks(merges: Sequence[Any]) -> dict[str, Any] | None:
    """Return what :func:`ranks` does, in half the time, where all merges are written alike and none is special."""
    kinds = set(map(type, merges))
    if kinds == {list} and set(map(len, merges)) == {2} and set(map(type, chain.from_iterable(merges))) == {str}:
        merges, kinds = list(map(" ".join, merges)), {str}
    if kinds != {str}:
        return None
    # One space in each: a token with a space, or none beside it, is what the slow way sees to.
    found = dict(zip(merges, range(len(merges)), strict=True))
    if len(found) < len(merges) or set(map(_count_spaces, merges)) != {1}:
        return None
    return {"merges": found}


_count_spaces = methodcaller("count", " ")


@cache
def byte_alphabet() -> dict[int, str]:
    """Return the character that stands for each byte in byte-level BPE, for :meth:`str.translate` of Latin-1.

    Printable characters of Latin-1 stand for themselves, the others for the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = sorted(set(range(_BYTES)) - set(printable))
    return {byte: chr(_BYTES + number) for number, byte in enumerate(hidden)}


def byte_level(token: bytes) -> str:
    """Return a token of bytes as byte-level BPE writes it: `` the`` is ``Ġthe``."""
    return token.decode("latin-1").translate(byte_alphabet())
