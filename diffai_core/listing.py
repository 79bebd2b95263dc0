"""Which files a folder holds, and which folders inside it are not entered, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.errors import LoadError
from diffai_core.findings import NotCompared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from diffai_core.files import Source
    from diffai_core.folder_rules import FolderRules

MAX_FILES = 100_000
"""Files of one folder that are compared."""
MAX_ENTRIES = 200_000
"""Files and folders that are looked at to find them; links can make a small folder endless."""
MAX_LINKS = 1_000
"""Links to folders that are followed."""
MAX_LOOKED_AT = 10_000
"""Files and folders that are looked at to see whether folders that are not entered hold anything that belongs."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds; all paths relative, with forward slashes, those of folders with one at the end.

    Args:
        files: The files that belong to it, those of a folder before those of the folders inside it.
        not_entered: Folders with files that may belong, and why nobody looked.
        unreadable: What is wrong with folders that cannot be listed.
    """

    files: tuple[str, ...]
    not_entered: tuple[NotCompared, ...]
    unreadable: dict[str, LoadError]


def list_files(source: Source, rules: FolderRules, entered: frozenset[str] = frozenset()) -> Listing:
    """List a directory.

    Links to folders are followed inside the directory, unless they lead back to where they stand in.

    Args:
        source: The directory.
        rules: Which files belong to it.
        entered: Folders inside that are looked into even if the rules do not ask for it.

    Raises:
        LoadError: If it cannot be listed, or holds too much.
    """
    walk = _Walk(source, rules, entered=entered)
    files: list[str] = []
    for relative in walk.files(_Place("", frozenset([_identity(source.path)])), enter=rules.recursive):
        if len(files) == MAX_FILES:
            raise LoadError(source.name, f"holds more than {MAX_FILES:,} files; choose some with --include")
        files.append(relative)
    if "" in walk.unreadable:
        raise walk.unreadable[""]
    return Listing(tuple(files), tuple(walk.not_entered), walk.unreadable)


_Identity = tuple[int, int]


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except OSError:  # listing it will say why
        return None
    return status.st_dev, status.st_ino


class _Place(NamedTuple):
    """A folder at its relative path, and the real folders on the way to it, itself among them."""

    relative: str
    way: frozenset[_Identity | None]


@dataclass
class _Walk:
    """One walk through a directory, which notes what it does not see."""

    source: Source
    rules: FolderRules
    entered: frozenset[str] = frozenset()
    n_left: int = MAX_ENTRIES
    n_links_left: int = MAX_LINKS
    n_looks_left: int = MAX_LOOKED_AT
    not_entered: list[NotCompared] = field(default_factory=list)
    unreadable: dict[str, LoadError] = field(default_factory=dict)

    def files(self, start: _Place, *, enter: bool) -> Iterator[str]:
        """Yield the files that belong, each folder sorted.

        Args:
            start: Where to begin.
            enter: Whether to go into the folders inside.
        """
        stack = [start]
        while stack:
            place = stack.pop()
            files, folders = self._entries(place)
            yield from (relative for relative in files if self.rules.keep(relative))
            inner = [found for relative in folders if (found := self._enterable(place, relative))]
            stack.extend(found for found in reversed(inner) if enter or found.relative in self.entered)
            self.not_entered.extend(
                NotCompared(found.relative, "is a folder; --recursive compares what is in it")
                for found in inner
                if not enter and found.relative not in self.entered and self._may_hold_any(found)
            )

    def _entries(self, place: _Place) -> tuple[list[str], list[str]]:
        """Return the relative paths of files and of folders, sorted."""
        found: tuple[list[str], list[str]] = [], []
        try:
            with os.scandir(self.source.path / place.relative) as entries:
                for entry in entries:
                    self._count()
                    found[_is_folder(entry)].append(f"{place.relative}{entry.name}")
        except OSError as error:
            name = f"{self.source.name.rstrip('/')}/{place.relative}" if place.relative else self.source.name
            self.unreadable[place.relative] = LoadError(name, (error.strerror or str(error)).lower())
        return sorted(found[0]), sorted(found[1])

    def _count(self) -> None:
        if not self.n_left:
            reason = f"holds more than {MAX_ENTRIES:,} files and folders; leave folders out with --exclude"
            raise LoadError(self.source.name, reason)
        self.n_left -= 1

    def _count_link(self) -> None:
        if not self.n_links_left:
            reason = f"holds more than {MAX_LINKS:,} links to folders; leave folders out with --exclude"
            raise LoadError(self.source.name, reason)
        self.n_links_left -= 1

    def _enterable(self, place: _Place, relative: str) -> _Place | None:
        """Return the folder at ``relative``, or ``None`` if it is left out or must not be entered."""
        if not self.rules.keep_folder(relative):
            return None
        where = f"{relative}/"
        path = self.source.path / relative
        identity = _identity(path)
        if path.is_symlink():
            self._count_link()
            try:
                self.source.listed(relative)
            except LoadError:
                self.not_entered.append(NotCompared(where, "is a link that leads out of the folder"))
                return None
            if identity in place.way:
                self.not_entered.append(NotCompared(where, "is a link to a folder that it lies in itself"))
                return None
        return _Place(where, place.way | {identity})

    def _may_hold_any(self, place: _Place) -> bool:
        """Whether something in the folder belongs, or cannot be seen without more than a look."""
        look = _Walk(self.source, self.rules, n_left=self.n_looks_left)
        try:
            found = next(look.files(place, enter=True), None)
        except LoadError:  # too much for a look
            return True
        finally:
            self.n_looks_left = look.n_left
        return found is not None or bool(look.not_entered or look.unreadable)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; opening it will say so
        return False
