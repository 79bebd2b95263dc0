"""Open a directory: a model that its files make up together, and every other file beside it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffai_core.artifact import Artifact, TensorRef
from diffai_core.errors import LoadError, SeparateFilesError, UnknownFormatError
from diffai_core.findings import NotCompared
from diffai_core.reading import SCAN_BYTES
from diffai_core.selection import choose_folder_loader, choose_loader, open_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.files import DataFile, Source
    from diffai_core.registry import Key, Registry

_MOST_FILES = 100_000
_NO_CONTENT = (".git", ".DS_Store", "._*")
"""What version control and file managers leave behind."""


@dataclass(frozen=True)
class FolderRules:
    """Which files of a folder belong to it.

    Args:
        recursive: Whether folders inside count.
        include: Only files of which name or relative path matches one of these patterns, if any.
        exclude: No files of which name or relative path matches one of these patterns.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def keep(self, relative: str) -> bool:
        """Whether the file at ``relative`` belongs to the folder.

        Example:
            >>> FolderRules(include=("*.json",)).keep("runs/metrics.json")
            True
        """
        if self.include and not _matches(relative, self.include):
            return False
        return not _matches(relative, self.exclude)

    @property
    def chosen(self) -> bool:
        """Whether the user picked files, so that the folder is not taken as one model."""
        return bool(self.include or self.exclude)


def _matches(relative: str, patterns: tuple[str, ...]) -> bool:
    name = relative.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) or fnmatchcase(relative, pattern) for pattern in patterns)


def open_folder(
    source: Source,
    registry: Registry,
    rules: FolderRules,
    forced: str | None = None,
    options: Mapping[Key, Mapping[str, Any]] | None = None,
) -> Artifact:
    """Open a directory as one artefact.

    If a loader takes the directory for a model, its tensors and tree stand as they are. Every other file is opened
    by the loader that suits it; its keys follow its relative path. A file that no plugin reads is compared by its
    bytes. Damaged files are kept as errors, so that the others are compared all the same.

    Args:
        source: The directory.
        registry: The plugins.
        rules: Which files belong to it.
        forced: ``--input-format``.
        options: Options of the loaders by spec.

    Raises:
        LoadError: If the model is damaged, or nothing in the directory can be read.
    """
    options = options or {}
    model = None if rules.chosen else _open_model(source, registry, forced, options)
    taken = set() if model is None else {os.path.realpath(file.path) for file in model.files}
    parts = _Parts(model)
    for relative in _files(source, rules, parts):
        if os.path.realpath(source.path / relative) not in taken:
            parts.add(relative, source, registry, options)
    if not parts.readable:
        parts.close()
        if parts.errors:
            raise parts.errors[0]
        raise LoadError(source.name, "no file in the folder can be read by an installed plugin; see diffai --plugins")
    return parts.artifact(source)


def _open_model(
    source: Source, registry: Registry, forced: str | None, options: Mapping[Key, Mapping[str, Any]]
) -> Artifact | None:
    """Open the folder as one model, if a loader takes it for one."""
    loader = choose_folder_loader(source, registry, forced)
    if loader is None:
        return None
    try:
        return open_with(loader, source, options.get(loader.key, loader.defaults))
    except SeparateFilesError:
        return None


def _files(source: Source, rules: FolderRules, parts: _Parts) -> Iterator[str]:
    """Yield relative paths in sorted order; folders that are not entered are noted as not compared."""
    count = 0
    for folder, names, files in os.walk(source.path, onerror=_refuse):
        below = Path(folder).relative_to(source.path).as_posix()
        names[:] = sorted(name for name in names if not _matches(name, _NO_CONTENT))
        prefix = "" if below == "." else f"{below}/"
        for name in sorted(files):
            count += 1
            if count > _MOST_FILES:
                raise LoadError(source.name, f"holds more than {_MOST_FILES:,} files; choose some with --include")
            if rules.keep(prefix + name) and not _matches(name, _NO_CONTENT):
                yield prefix + name
        if not rules.recursive:
            parts.skipped.extend(f"{name}/" for name in names if not rules.chosen)
            return


def _refuse(error: OSError) -> None:
    raise LoadError(error.filename, (error.strerror or str(error)).lower()) from error


class _Parts:
    """Gathers what the files of a folder hold."""

    def __init__(self, model: Artifact | None) -> None:
        self.tensors: dict[str, TensorRef] = dict(model.tensors) if model else {}
        self.tree: dict[str, Any] = dict(model.tree) if model else {}
        self.tables: dict[str, Any] = dict(model.tables) if model else {}
        self.graph = model.graph if model else None
        self.files: list[DataFile] = list(model.files) if model else []
        self.not_readable = list(model.not_readable) if model else []
        self.errors = list(model.errors) if model else []
        self.skipped: list[str] = []
        self.format = model.format if model else "folder"
        self.readable = model is not None

    def add(self, relative: str, source: Source, registry: Registry, options: Mapping[Key, Mapping[str, Any]]) -> None:
        """Open one file; whatever is wrong with it is kept, not raised."""
        try:
            child = source.child(relative)
            loader = choose_loader(child, registry)
            part = open_with(loader, child, options.get(loader.key, loader.defaults))
        except UnknownFormatError:
            self._add_bytes(relative, source)
        except LoadError as error:
            if error.reason == "is empty":
                self._add_bytes(relative, source)
            else:
                self.errors.append(error)
        else:
            self._add_artifact(relative, part)

    def _add_artifact(self, relative: str, part: Artifact) -> None:
        self.readable = True
        for name, ref in part.tensors.items():
            self.tensors[f"{relative}:{name}"] = replace(ref, name=f"{relative}:{name}")
        if part.tree:
            self.tree[relative] = part.tree
        self.tables.update({f"{relative}:{name}": table for name, table in part.tables.items()})
        self.not_readable.extend(NotCompared(f"{relative}:{lost.where}", lost.reason) for lost in part.not_readable)
        if part.graph is not None:
            self.not_readable.append(NotCompared(relative, "a graph among other files; compare this file by itself"))
        self.files.extend(part.files)

    def _add_bytes(self, relative: str, source: Source) -> None:
        try:
            file = source.child(relative).open()
            self.files.append(file)
            digest = hashlib.blake2b(digest_size=16)
            for place in range(0, file.size, SCAN_BYTES):
                digest.update(file.read(place, min(SCAN_BYTES, file.size - place)))
        except LoadError as error:
            self.errors.append(error)
        else:
            self.tree[relative] = f"{file.size:,} bytes, blake2b {digest.hexdigest()}"

    def artifact(self, source: Source) -> Artifact:
        """Return the folder as one artefact."""
        inside = [NotCompared(name, "is a folder; --recursive compares what is in it") for name in self.skipped]
        return Artifact(
            name=source.name,
            format=self.format,
            tensors=self.tensors,
            tree=self.tree,
            tables=self.tables,
            graph=self.graph,
            files=tuple(self.files),
            not_readable=(*self.not_readable, *inside),
            errors=tuple(self.errors),
        )

    def close(self) -> None:
        """Close what was opened."""
        for file in self.files:
            file.close()
