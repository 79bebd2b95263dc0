"""Whether a directory has what a loader looks for; a listing, never a walk."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from diffai_core.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from diffai_core.files import Source

MAX_ENTRIES = 100_000
"""Entries of one directory that are held against a pattern with wildcards."""


def matches_folder(source: Source, patterns: Iterable[str]) -> bool:
    """Whether something in the directory matches one of ``patterns``.

    Only the levels that a pattern spells out are looked at, and of each directory at most ``MAX_ENTRIES`` entries;
    patterns without wildcards are exact in any directory.

    Raises:
        LoadError: If the directory itself cannot be read.
    """
    try:
        os.scandir(source.path).close()
    except OSError as error:
        raise LoadError(source.name, (error.strerror or str(error)).lower()) from error
    return any(_matches(source.path, pattern.split("/")) for pattern in patterns)


def _matches(folder: Path, parts: list[str]) -> bool:
    first, rest = parts[0], parts[1:]
    if any(character in first for character in "*?["):
        found = (Path(folder, name) for name in _names(folder) if fnmatchcase(name, first))
    else:
        found = (path for path in [Path(folder, first)] if os.path.lexists(path))
    return any(not rest or _matches(path, rest) for path in found)


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in islice(entries, MAX_ENTRIES))
    except OSError:  # a file where the pattern wants a directory, or one that may not be read: nothing matches
        return
