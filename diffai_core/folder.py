"""Open a directory: a model that its files make up together, and every other file beside it.

Every file beside the model has a key, which begins all that is known of it:

- in the tree, its own tree or, where it has none, an empty one, so that a file on one side only is a difference;
  of a file that no plugin reads, size and digest;
- tensors and tables under ``key:name``;
- its graph as the entry of that key in the attribute ``files`` of the graph.

A file that another one has opened as its own, such as a shard beside its index, has none.

The key is the relative path. Where that is also a key of the model itself, ``./`` goes before it; a colon in it is
written ``%3A``, so that ``key:name`` can be read in one way only.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.artifact import Artifact
from diffai_core.errors import LoadError, SeparateFilesError, UnknownFormatError
from diffai_core.findings import NotCompared
from diffai_core.graph import Graph
from diffai_core.listing import list_files
from diffai_core.reading import SCAN_BYTES
from diffai_core.selection import choose_folder_loader, choose_loader, open_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from diffai_core.files import DataFile, Source
    from diffai_core.folder_rules import FolderRules
    from diffai_core.registry import Key, Registry

    Options = Mapping[Key, Mapping[str, Any]]

_BYTES = "bytes"
"""Format of what no plugin reads."""


class Part(NamedTuple):
    """A file beside the model: what stands in the tree for it, what it holds, and where it is."""

    entry: Any
    artifact: Artifact
    path: Path


@dataclass(frozen=True, kw_only=True)
class Folder(Artifact):
    """A directory as one artefact, and what it is put together from.

    Args:
        model: What its files make up together; empty if they are no model.
        parts: The other files by relative path.
        keys: Key of each part.
        not_entered: Folders inside that nobody looked into, ``/`` at the end.
        unreadable: Damaged files and folders by relative path.
    """

    model: Artifact
    parts: Mapping[str, Part]
    keys: Mapping[str, str]
    not_entered: tuple[NotCompared, ...]
    unreadable: Mapping[str, LoadError]

    @property
    def unknown(self) -> frozenset[str]:
        """Relative paths of what is there and was not read."""
        return frozenset((*self.unreadable, *(folder.where for folder in self.not_entered)))

    def close(self) -> None:
        """Close all files, also those of parts that are shown as parts of others."""
        self.model.close()
        for part in self.parts.values():
            part.artifact.close()


def open_folder(
    source: Source,
    registry: Registry,
    rules: FolderRules,
    forced: str | None = None,
    options: Options | None = None,
    damage: LoadError | None = None,
) -> Folder:
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
        damage: What is wrong with the model in this directory; its files are then opened one by one.

    Raises:
        LoadError: If the model is damaged, or nothing in the directory can be read.
    """
    options = options or {}
    model = None if rules.chosen else _open_model(source, registry, forced, options)
    parts = _Parts(source, registry, options)
    try:
        listing = list_files(source, rules, _folders_of(model, source) if model else frozenset())
        parts.unreadable.update(listing.unreadable)
        taken = {_place(file.path) for file in model.files} if model else set()
        for relative in listing.files:
            if not taken or _place(source.path / relative) not in taken:
                parts.add(relative)
        if model is None:
            parts.refuse_if_unreadable()
    except BaseException:
        parts.close()
        if model is not None:
            model.close()
        raise
    told = {
        (error.reason, error.offset) for error in parts.unreadable.values()
    }  # an index is refused as its folder was
    errors = () if damage is None or (damage.reason, damage.offset) in told else (damage,)
    model = model or Artifact(name=source.name, format="folder", errors=errors)
    keys = _keys([model], parts.found)
    return _put_together(model, parts.found, keys, listing.not_entered, parts.unreadable)


def match_folders(old: Artifact, new: Artifact) -> tuple[Artifact, Artifact]:
    """Make two artefacts, of which either may be a folder, ready to be compared with each other.

    What one side could not read is left out of the other, where it would seem added or removed; the errors of the
    first side say that it was not compared. And a file has the same key on both sides.

    Args:
        old: One side, as it was opened; it stays the one to be closed.
        new: The other side.
    """
    folders = [side for side in (old, new) if isinstance(side, Folder)]
    unknown = frozenset(chain.from_iterable(folder.unknown for folder in folders))
    models = [side.model if isinstance(side, Folder) else side for side in (old, new)]
    keys = _keys(models, chain.from_iterable(folder.parts for folder in folders))
    return _matched(old, keys, unknown), _matched(new, keys, unknown)


def _matched(side: Artifact, keys: Mapping[str, str], unknown: frozenset[str]) -> Artifact:
    if not isinstance(side, Folder):
        return side
    parts = {relative: part for relative, part in side.parts.items() if not _is_among(relative, unknown)}
    keys = {relative: keys[relative] for relative in parts}
    if keys == side.keys:
        return side
    return _put_together(side.model, parts, keys, side.not_entered, side.unreadable)


def _is_among(relative: str, unknown: frozenset[str]) -> bool:
    """Whether ``relative`` or a folder above it is unknown."""
    if not unknown or relative in unknown:
        return bool(unknown)
    names = relative.split("/")[:-1]
    return any(f"{folder}/" in unknown for folder in accumulate(names, "{}/{}".format))


def _keys(models: Iterable[Artifact], relatives: Iterable[str]) -> dict[str, str]:
    """Return the key of each file, unlike any key of the models and of other files."""
    taken: set[str] = set()
    for model in models:
        taken.update(model.tree)
        taken.update(name.partition(":")[0] for name in chain(model.tensors, model.tables))
    keys: dict[str, str] = {}
    for relative in sorted(set(relatives)):
        key = relative.replace(":", "%3A")
        while key in taken:
            key = f"./{key}"
        taken.add(key)
        keys[relative] = key
    return keys


def _put_together(
    model: Artifact,
    parts: Mapping[str, Part],
    keys: Mapping[str, str],
    not_entered: tuple[NotCompared, ...],
    unreadable: Mapping[str, LoadError],
) -> Folder:
    contents = _Contents(model)
    shown_elsewhere = _parts_of_others(parts)
    for relative, part in parts.items():
        if relative not in shown_elsewhere:
            contents.add(keys[relative], part)
    errors = (*model.errors, *unreadable.values())
    return Folder(
        name=model.name,
        format=model.format,
        tensors=contents.tensors,
        tree=contents.tree,
        tables=contents.tables,
        graph=contents.graph,
        files=tuple(contents.files),
        foreign=tuple(contents.foreign),
        not_readable=(*contents.not_readable, *not_entered),
        errors=tuple({str(error): error for error in errors}.values()),  # an index fails as its shard does
        model=model,
        parts=parts,
        keys=keys,
        not_entered=not_entered,
        unreadable=unreadable,
    )


def _parts_of_others(parts: Mapping[str, Part]) -> frozenset[str]:
    """Return the relative paths of files that another one has opened as its own, and that hold nothing else.

    An index has its shards, a program its weights, a model its external data: what these hold is there already. A
    file that by itself is of another format stays: a model may name any file of the folder as its data.
    """
    several = {relative: part for relative, part in parts.items() if len(part.artifact.files) > 1}
    formats = {part.artifact.format for part in several.values()} | {_BYTES}
    by_place = {_place(part.path): name for name, part in parts.items() if several and part.artifact.format in formats}
    found: set[str] = set()
    for relative, part in several.items():
        if relative not in found:
            places = {_place(file.path) for file in part.artifact.files}
            others = {by_place[place] for place in places & by_place.keys()} - {relative}
            found.update(other for other in others if _is_within(parts[other].artifact, part.artifact.format, places))
    return frozenset(found)


def _is_within(artifact: Artifact, format_: str, places: set[tuple[str, str]]) -> bool:
    return artifact.format in {format_, _BYTES} and all(_place(file.path) in places for file in artifact.files)


class _Contents:
    """All that a folder holds, by key."""

    def __init__(self, model: Artifact) -> None:
        self.tensors = dict(model.tensors)
        self.tree = dict(model.tree)
        self.tables = dict(model.tables)
        self.files = list(model.files)
        self.foreign = list(model.foreign)
        self.not_readable = list(model.not_readable)
        self._graph = model.graph
        self._graphs: dict[str, Graph] = {}

    @property
    def graph(self) -> Graph | None:
        """That of the model; those of other files by their keys under its attribute ``files``."""
        if not self._graphs:
            return self._graph
        graph = self._graph or Graph()
        return replace(graph, attributes={**graph.attributes, "files": self._graphs})

    def add(self, key: str, part: Part) -> None:
        """Add a file under its key."""
        artifact = part.artifact
        self.tree[key] = part.entry
        for name, ref in artifact.tensors.items():
            self.tensors[f"{key}:{name}"] = replace(ref, name=f"{key}:{name}")
        self.tables.update({f"{key}:{name}": table for name, table in artifact.tables.items()})
        self.files.extend(artifact.files)
        self.foreign.extend(artifact.foreign)
        self.not_readable.extend(NotCompared(f"{key}:{lost.where}", lost.reason) for lost in artifact.not_readable)
        if artifact.graph is not None:
            self._graphs[key] = artifact.graph


def _open_model(source: Source, registry: Registry, forced: str | None, options: Options) -> Artifact | None:
    """Open the folder as one model, if a loader takes it for one."""
    loader = choose_folder_loader(source, registry, forced)
    if loader is None:
        return None
    try:
        return open_with(loader, source, options.get(loader.key, loader.defaults))
    except SeparateFilesError:
        return None


def _folders_of(model: Artifact, source: Source) -> frozenset[str]:
    """Return the folders inside in which files of the model lie, ``/`` at the end; what else is there belongs too."""
    root = os.path.realpath(source.path)
    inner = (os.path.relpath(_place(file.path)[0], root).replace(os.sep, "/") for file in model.files)
    ways = (accumulate(relative.split("/"), "{}/{}".format) for relative in inner if relative.split("/")[0] != "..")
    return frozenset(f"{folder}/" for way in ways for folder in way)


def _place(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return folder and name of a file, the same however its folder is reached; a link to it is another file."""
    folder, name = os.path.split(path)
    return os.path.realpath(folder), name


class _Parts:
    """Opens the files beside the model; whatever is wrong with one is kept, not raised.

    Args:
        source: The directory.
        registry: The plugins.
        options: Options of the loaders by spec.
    """

    def __init__(self, source: Source, registry: Registry, options: Options) -> None:
        self.found: dict[str, Part] = {}
        self.unreadable: dict[str, LoadError] = {}
        self._source = source
        self._registry = registry
        self._options = options
        self._n_recognised = 0

    def add(self, relative: str) -> None:
        """Open one file."""
        try:
            part = self._open(self._source.listed(relative))
        except LoadError as error:
            # A new one: the traceback would keep what the loader has read.
            self.unreadable[relative] = LoadError(error.path, error.reason, error.offset)
            return
        self.found[relative] = part
        if not part.artifact.tensors:
            for file in part.artifact.files:
                file.release()

    def _open(self, source: Source) -> Part:
        try:
            loader = choose_loader(source, self._registry)
            artifact = open_with(loader, source, self._options.get(loader.key, loader.defaults))
        except UnknownFormatError:
            return _open_bytes(source)
        except LoadError as error:
            if error.reason != "is empty":
                raise
            return _open_bytes(source)
        self._n_recognised += 1
        return Part(artifact.tree, artifact, source.path)

    def refuse_if_unreadable(self) -> None:
        """Raise if no plugin reads any of the files.

        Raises:
            LoadError: What is wrong with the first of them, if it is damaged.
        """
        if not self._n_recognised:
            reason = "no file in the folder can be read by an installed plugin; see diffai --plugins"
            raise next(iter(self.unreadable.values()), LoadError(self._source.name, reason))

    def close(self) -> None:
        """Close what was opened."""
        for part in self.found.values():
            part.artifact.close()


def _open_bytes(source: Source) -> Part:
    """Open a file that no plugin reads: its size and digest stand for it."""
    file = source.open()
    try:
        entry = f"{file.size:,} bytes, blake2b {_digest(file)}"
    except BaseException:
        file.close()
        raise
    return Part(entry, Artifact(name=source.name, format=_BYTES, files=(file,)), source.path)


def _digest(file: DataFile) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for place in range(0, file.size, SCAN_BYTES):
        digest.update(file.read(place, min(SCAN_BYTES, file.size - place)))
    return digest.hexdigest()
