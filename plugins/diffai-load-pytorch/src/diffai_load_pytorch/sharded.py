"""Checkpoints in several files: with an index that says which file holds which tensor, or without one."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json

from diffai_core.plugin import LoadError, SeparateFilesError, Source, read_text, shown
from diffai_load_pytorch.assembly import Assembly
from diffai_load_pytorch.checkpoint import add_file
from diffai_load_pytorch.sniff import looks_like_index

if TYPE_CHECKING:
    from contextlib import ExitStack

    from diffai_core.plugin import DataFile

INDEX_PATTERN = "*.bin.index.json"
SHARD_PATTERNS = ("pytorch_model*.bin", "diffusion_pytorch_model*.bin", "adapter_model.bin")
MAX_INDEX_BYTES = 100_000_000
MAX_LABEL = 4096

_NUMBERED = re.compile(r"(.+)-[0-9]{1,9}-of-([0-9]{1,9})\.bin")


def is_index(source: Source) -> bool:
    """Whether a file is an index of shards, by its content or else its name.

    Raises:
        LoadError: If it cannot be read.
    """
    head, _ = source.head()
    return looks_like_index(head) or source.path.name.lower().endswith(".json")


def add_folder(folder: Source, files: list[DataFile], stack: ExitStack) -> Assembly:
    """Open a folder of shards.

    Raises:
        LoadError: If something is missing, damaged, or contradicts the index.
    """
    names = _visible_names(folder)
    indexes = [name for name in names if fnmatchcase(name, INDEX_PATTERN)]
    shards = [name for name in names if any(fnmatchcase(name, pattern) for pattern in SHARD_PATTERNS)]
    if len(indexes) > 1:
        raise LoadError(
            folder.name, f"holds {len(indexes)} indexes: {', '.join(indexes[:10])}; pass one of these files"
        )
    if indexes:
        return add_index(folder.child(indexes[0]), files, stack, folder)
    if not shards:
        raise LoadError(folder.name, f"holds neither {INDEX_PATTERN} nor {', '.join(SHARD_PATTERNS)}")
    _check_numbering(folder, shards)
    return _joined({name: folder.child(name) for name in shards}, files, stack)[0]


def _visible_names(folder: Source) -> list[str]:
    try:
        return sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise LoadError(folder.name, f"the folder cannot be listed ({error.strerror})") from error


def _check_numbering(folder: Source, names: list[str]) -> None:
    """Make sure that of ``pytorch_model-00001-of-00003.bin`` and its like all are there, as no index tells."""
    sets = Counter(found.groups() for name in names if (found := _NUMBERED.fullmatch(name)))
    for (stem, total), n_found in sets.items():
        if n_found != int(total):
            raise LoadError(
                folder.name, f"holds {n_found} of the {int(total)} files {stem}-*-of-{total}.bin, and no index"
            )


def add_index(index: Source, files: list[DataFile], stack: ExitStack, folder: Source | None = None) -> Assembly:
    """Open the shards that an index names.

    Raises:
        LoadError: If the index names a file that is missing or outside of the folder, or a tensor that is elsewhere.
    """
    index_file = stack.enter_context(index.open())
    files.append(index_file)
    weight_map = _weight_map(index_file)
    folder = folder or Source(index.path.parent)
    sources = {label: _shard_source(folder, label, index_file) for label in sorted(set(weight_map.values()))}
    assembly, places = _joined(sources, files, stack)
    for name in assembly.tensors:
        if name not in weight_map:
            raise LoadError(index_file.name, f"does not name tensor {shown(name)}, which is in {shown(places[name])}")
    for name, label in weight_map.items():
        if places.get(name) != label:
            raise LoadError(index_file.name, f"has tensor {shown(name)} in {shown(label)}, which does not hold it")
    return assembly


def _weight_map(file: DataFile) -> dict[str, str]:
    document: Any = parse_json(read_text(file, MAX_INDEX_BYTES), 100_000)
    found = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not all(isinstance(label, str) for label in found.values()):
        raise LoadError(file.name, 'the index has no "weight_map" of file names')
    return found


def _shard_source(folder: Source, label: str, index_file: DataFile) -> Source:
    if len(label) > MAX_LABEL:
        raise LoadError(index_file.name, f"names the file {shown(label)}, which is longer than a path can be")
    try:
        return folder.child(label)
    except LoadError as error:
        raise LoadError(index_file.name, error.reason) from error


def _joined(sources: dict[str, Source], files: list[DataFile], stack: ExitStack) -> tuple[Assembly, dict[str, str]]:
    """Return what all files hold, and the file of each tensor."""
    opened = {label: _opened(source, stack) for label, source in sources.items()}
    files.extend(opened.values())
    assembly = Assembly(sum(file.size for file in opened.values()))
    places: dict[str, str] = {}
    for label, file in opened.items():
        part = Assembly(file.size)
        add_file(part, file)
        _merge(assembly, part, label, file, places)
    return assembly, places


def _opened(source: Source, stack: ExitStack) -> DataFile:
    try:
        return stack.enter_context(source.open())
    except LoadError as error:
        raise LoadError(
            error.path, f"{error.reason}; the checkpoint needs {Path(source.path).name}", error.offset
        ) from error


def _merge(assembly: Assembly, part: Assembly, label: str, file: DataFile, places: dict[str, str]) -> None:
    for name, ref in part.tensors.items():
        if name in assembly.tensors:
            reason = f"tensor {shown(name)} is here and in {shown(places[name])}; pass one of the files"
            raise SeparateFilesError(file.name, reason)
        assembly.tensors[name] = ref
        places[name] = label
    for key, value in part.tree.items():
        assembly.tree[key if assembly.tree.get(key, value) == value else f"{key} ({label})"] = value
    assembly.foreign.extend(part.foreign)
    assembly.not_readable.extend(part.not_readable)
