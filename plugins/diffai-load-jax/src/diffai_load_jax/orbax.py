"""Opens Orbax checkpoints and zarr hierarchies: folders of arrays, in files or in an OCDBT store."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, LoadError, NotCompared
from diffai_load_jax.ocdbt import MANIFEST, read_ocdbt
from diffai_load_jax.values import MAX_DOCUMENT_BYTES, Stored
from diffai_load_jax.zarr_array import MAX_RATIO, MAX_UNWRITTEN_BYTES, tensor_of
from diffai_load_jax.zarr_spec import NotReadableError, document_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile, Source, TensorRef

MAX_FILES = 100_000
"""Most files of a folder."""
MAX_DEPTH = 64

METADATA, CHECKPOINT, STRINGS = "_METADATA", "_CHECKPOINT_METADATA", "_strings.json"
_DEFAULT_ITEM = "default"
_OWN = re.compile(
    r"commit_success\.txt|_sharding|(array_metadatas|descriptor)/.*|\.zmetadata|(ocdbt\.process_[^/]*/)?d/.*"
)
_PROCESS_STORE = re.compile(r"ocdbt\.process_[^/]*/.*")
_NUMBER = re.compile(r"[0-9]{1,18}")
_ARRAY_FILES = ("zarr.json", ".zarray")
_EMPTY_TYPES = {"None", "Dict", "List", "Tuple", "NamedTuple", "string", "EmptyState"}


@dataclass
class _Contents:
    tensors: dict[str, TensorRef] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=dict)
    not_readable: list[NotCompared] = field(default_factory=list)
    files: dict[str, DataFile] = field(default_factory=dict)
    n_declared: int = 0


def open_orbax(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open an Orbax checkpoint: a step with its items, or a single item.

    Args:
        source: The folder.

    Returns:
        Arrays as tensors under the names of the checkpoint, ``params.dense.kernel``; those of an item that is not
        the only one begin with its name. Texts and metadata of the user in the tree.

    Raises:
        LoadError: If it is damaged or not complete, or a link leads out of the folder.
    """
    return _open(source, "orbax")


def open_zarr(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a zarr array or hierarchy, version 2 or 3.

    Args:
        source: The folder.

    Returns:
        Arrays as tensors under their paths; attributes in the tree.

    Raises:
        LoadError: If it is damaged, or a link leads out of the folder.
    """
    return _open(source, "zarr")


def _open(source: Source, name: str) -> Artifact:
    contents = _Contents()
    with ExitStack() as stack:
        for relative in _listing(source):
            contents.files[relative] = stack.enter_context(source.listed(relative).open())
        _add_folder(contents, source)
        _check_sizes(contents, source)
        stack.pop_all()
    return Artifact(
        name=source.name,
        format=name,
        tensors=contents.tensors,
        tree=contents.tree,
        files=tuple(contents.files.values()),
        not_readable=tuple(contents.not_readable),
    )


def _listing(source: Source) -> list[str]:
    """Return the files below a folder, sorted; links to folders are not followed."""
    if not source.path.is_dir():
        raise LoadError(source.name, "is a file; this format is a folder", 0)
    found: list[str] = []
    for folder, folders, names in os.walk(source.path):
        folders.sort()
        relative = os.path.relpath(folder, source.path)
        linked = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118 - as os.walk
        if linked:
            raise LoadError(source.name, f"{linked[0]!r} is a link to a folder; such links are not followed")
        if relative.count(os.sep) > MAX_DEPTH:
            raise LoadError(source.name, f"has folders nested deeper than {MAX_DEPTH} levels")
        found += [name if relative == "." else f"{relative}/{name}".replace(os.sep, "/") for name in names]
        if len(found) > MAX_FILES:
            raise LoadError(source.name, f"has more than {MAX_FILES:,} files; they are not read")
    if not found:
        raise LoadError(source.name, "is empty")
    return sorted(found)


def _add_folder(contents: _Contents, source: Source) -> None:
    roots = _items(contents.files)
    for root in roots:
        prefix = "" if roots == [root] and root in {"", f"{_DEFAULT_ITEM}/"} else root.replace("/", ".")
        inside = {name.removeprefix(root): file for name, file in contents.files.items() if name.startswith(root)}
        _Item(contents, source, inside, prefix).add()
    owned = tuple(roots)
    for name, file in contents.files.items():
        if name == CHECKPOINT:
            _add_checkpoint(contents, file)
        elif not name.startswith(owned) and not any(map(_OWN.fullmatch, (name, name.partition("/")[2]))):
            contents.tree[name] = _plain_file(file)


def _items(files: Mapping[str, DataFile]) -> list[str]:
    """Return the folders of the items of a step, with a slash behind; the folder itself if it is one item."""
    if CHECKPOINT not in files or MANIFEST in files or METADATA in files:
        return [""]
    marked = [name for name in files if name.count("/") == 1 and name.endswith((f"/{MANIFEST}", f"/{METADATA}"))]
    return sorted({f"{name.partition('/')[0]}/" for name in marked})


def _add_checkpoint(contents: _Contents, file: DataFile) -> None:
    """Add what the user said of a checkpoint; when it was saved is no part of it."""
    document = document_of(Stored(file, 0, file.size), CHECKPOINT)
    for key in ("metrics", "custom_metadata"):
        if document.get(key):
            contents.tree[key] = document[key]


def _plain_file(file: DataFile) -> Any:
    """Return a file that belongs to nothing else: a JSON object as what it says, anything else as size and digest."""
    value = Stored(file, 0, file.size)
    if 0 < file.size <= MAX_DOCUMENT_BYTES and value.read(0, 1) == b"{":
        try:
            return document_of(value, "the file")
        except LoadError:
            pass  # it only looked like one
    digest = hashlib.blake2b(digest_size=32)
    for place in range(0, file.size, 1 << 20):
        digest.update(file.read(place, min(1 << 20, file.size - place)))
    return {"bytes": file.size, "blake2b": digest.hexdigest()}


def _check_sizes(contents: _Contents, source: Source) -> None:
    stored = sum(file.size for file in contents.files.values())
    if contents.n_declared > MAX_RATIO * stored + MAX_UNWRITTEN_BYTES:
        reason = f"declares arrays of {contents.n_declared:,} bytes, and its files hold {stored:,}"
        raise LoadError(source.name, reason)


class _Item:
    """One set of arrays: the files of a folder, or the values of its OCDBT store.

    Args:
        contents: Where to add it.
        source: The folder of the artefact, for messages.
        files: The files by their path in the item.
        prefix: What the names of tensors begin with.
    """

    def __init__(self, contents: _Contents, source: Source, files: Mapping[str, DataFile], prefix: str) -> None:
        self._contents = contents
        self._source = source
        self._files = files
        self._prefix = prefix
        self._used: set[str] = set()

    def add(self) -> None:
        """Add its arrays, attributes and texts."""
        values = {name: Stored(file, 0, file.size) for name, file in self._files.items()}
        if MANIFEST in self._files:
            values = {name: value for name, value in values.items() if not _PROCESS_STORE.fullmatch(name)}
            del values[MANIFEST]
            values = {name: value for name, value in values.items() if not name.startswith("d/")}
            values |= read_ocdbt(self._files[MANIFEST], self._opened)
        arrays = self._add_arrays(values)
        self._check_complete(arrays, values)
        for name, value in values.items():
            self._add_other(name, value)

    def _opened(self, path: str) -> DataFile:
        found = self._files.get(path)
        if found is None:
            raise LoadError(self._source.name, f"names the data file {path[:200]!r}, which is not in the folder")
        return found

    def _add_arrays(self, values: Mapping[str, Stored]) -> set[str]:
        by_folder: dict[str, list[str]] = {}
        folders = {name.rpartition("/")[0] for name in values if name.rpartition("/")[2] in _ARRAY_FILES}
        for name in values:
            folder = _owner(name, folders)
            if folder is not None:
                by_folder.setdefault(folder, []).append(name)
        for folder, names in by_folder.items():
            self._add_array(folder, names, values)
        return folders

    def _add_array(self, folder: str, names: list[str], values: Mapping[str, Stored]) -> None:
        base = f"{folder}/" if folder else ""
        described = next(name for file in _ARRAY_FILES if (name := base + file) in names)
        document = document_of(values[described], described)
        key = self._prefix + (folder or "array")
        self._used.add(described)
        if document.get("attributes"):
            self._contents.tree[f"{key}@attributes"] = document["attributes"]
        if document.get("node_type") == "group":
            return
        try:
            spec = spec_of(values[described], document)
            lead = base + (f"{spec.lead}{spec.separator}" if spec.lead and spec.shape else spec.lead)
            rank = len(spec.shape)
            chunks = {}
            for name in names:
                place = _place(name, lead, spec.separator, rank)
                if place is not None:
                    chunks[place] = values[name]
                    self._used.add(name)
            self._contents.n_declared += spec.nbytes
            self._contents.tensors[key] = tensor_of(key, spec, chunks)
        except NotReadableError as error:
            self._used.update(names)
            self._contents.not_readable.append(NotCompared(key, str(error)))

    def _check_complete(self, arrays: set[str], values: Mapping[str, Stored]) -> None:
        """Make sure that every array is there of which the checkpoint says so."""
        if METADATA not in values:
            return
        self._used.add(METADATA)
        document = document_of(values[METADATA], METADATA)
        if document.get("custom_metadata"):
            self._contents.tree[f"{self._prefix}custom_metadata"] = document["custom_metadata"]
        entries = document.get("tree_metadata")
        for entry in entries.values() if isinstance(entries, dict) else ():
            try:
                name = ".".join(str(key["key"]) for key in entry["key_metadata"])
                kind = entry["value_metadata"]["value_type"]
            except (KeyError, TypeError) as error:
                raise values[METADATA].error("an entry of the tree of the checkpoint is damaged") from error
            if kind not in _EMPTY_TYPES and name not in arrays:
                raise values[METADATA].error(f"the checkpoint has an array {name[:200]!r}, which is not there")

    def _add_other(self, name: str, value: Stored) -> None:
        """Add a file that is no part of an array."""
        if name in self._used or _OWN.fullmatch(name) or name == CHECKPOINT:
            return
        if name == STRINGS:
            for key, text in document_of(value, STRINGS).items():
                self._contents.tree[self._prefix + key] = text
        elif name.endswith((".zattrs", ".zgroup")):
            document = document_of(value, name)
            if name.endswith(".zattrs") and document:
                folder = name.rpartition("/")[0]
                self._contents.tree[f"{self._prefix}{folder or '/'}@attributes"] = document
        elif value.inline is None and value.start == 0 and value.size == value.file.size:
            self._contents.tree[self._prefix + name] = _plain_file(value.file)
        else:
            self._contents.not_readable.append(NotCompared(self._prefix + name, "is no part of an array"))


def _owner(name: str, folders: set[str]) -> str | None:
    """Return the array to which a file belongs: the nearest folder above that is one."""
    parts = name.split("/")[:-1]
    while True:
        folder = "/".join(parts)
        if folder in folders:
            return folder
        if not parts:
            return None
        parts.pop()


def _place(name: str, lead: str, separator: str, rank: int) -> tuple[int, ...] | None:
    """Return the place in the grid of a chunk by its key, ``None`` for a key of something else."""
    if not name.startswith(lead):
        return None
    rest = name[len(lead) :]
    if not rank:
        return () if rest in {"", "0"} else None
    numbers = rest.split(separator)
    plain = all(_NUMBER.fullmatch(number) for number in numbers)
    return tuple(map(int, numbers)) if plain and len(numbers) == rank else None
