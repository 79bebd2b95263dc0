"""Which files of a folder the user wants to have compared."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

_NO_CONTENT = (".git", ".DS_Store", "._*")
"""What version control and file managers leave behind."""


@dataclass(frozen=True)
class FolderRules:
    """Which files of a folder belong to it.

    Args:
        recursive: Whether folders inside count.
        include: Only files of which name or relative path matches one of these patterns, if any.
        exclude: No files or folders of which name or relative path matches one of these patterns.
        by_file: Whether each file is opened by itself, even if they make up a model.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    by_file: bool = False

    def keep(self, relative: str) -> bool:
        """Whether the file at ``relative`` belongs to the folder.

        Example:
            >>> FolderRules(include=("*.json",)).keep("runs/metrics.json")
            True
        """
        if self.include and not _matches(relative, self.include):
            return False
        return not _matches(relative, (*self.exclude, *_NO_CONTENT))

    def keep_folder(self, relative: str) -> bool:
        """Whether the folder at ``relative`` may hold files that belong.

        Example:
            >>> FolderRules(exclude=("logs/",)).keep_folder("runs/logs")
            False
        """
        return not _matches(relative, (*(pattern.rstrip("/") for pattern in self.exclude), *_NO_CONTENT))

    @property
    def chosen(self) -> bool:
        """Whether the user picked files, or each is to be opened by itself: the folder is not taken as one model."""
        return bool(self.include or self.exclude or self.by_file)


def _matches(relative: str, patterns: tuple[str, ...]) -> bool:
    name = relative.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) or fnmatchcase(relative, pattern) for pattern in patterns)
