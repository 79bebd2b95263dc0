"""Opens a safetensors file, a folder of shards with or without an index, or the index itself."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_quantization.logical import logical

from diffai_core.plugin import Artifact, LoadError, SeparateFilesError, Source
from diffai_load_safetensors.header import METADATA_KEY, Header, read_header
from diffai_load_safetensors.index import read_index
from diffai_load_safetensors.scanner import shown
from diffai_load_safetensors.sniff import is_tensor_file, looks_like_index

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import DataFile, FileTensor

INDEX_PATTERN = "*.safetensors.index.json"
TENSOR_PATTERN = "*.safetensors"
ADAPTER = "adapter_model.safetensors"
MAX_LABEL = 4096
"""Longest path of a shard in its folder."""
_NUMBERED = re.compile(r"(.+)-[0-9]{1,9}-of-([0-9]{1,9})\.safetensors")


class _Shard(NamedTuple):
    label: str
    file: DataFile
    header: Header


def open_safetensors(source: Source, options: Mapping[str, Any]) -> Artifact:  # noqa: ARG001 - every loader's signature
    """Open ``source``: a file, an index, or a folder that holds either.

    Args:
        source: What to open.
        options: None are known.

    Raises:
        LoadError: If a file breaks the format, or files and index contradict each other.
    """
    with ExitStack() as files:
        if source.is_folder:
            artifact = _open_folder(source, files)
        elif _is_index(source):
            artifact = _open_index(source, source, Source(source.path.parent), files)
        else:
            artifact = _assemble(source, [_open_shard(source, source.path.name, files)])
        files.pop_all()  # from here on the artefact closes them
    return artifact


def _is_index(source: Source) -> bool:
    head, size = source.head()
    by_name = source.path.name.lower().endswith(".json")
    return looks_like_index(head) or (by_name and not is_tensor_file(head, size))


def _open_folder(folder: Source, files: ExitStack) -> Artifact:
    names = _visible_names(folder)
    indexes = [name for name in names if fnmatchcase(name, INDEX_PATTERN)]
    tensor_files = [name for name in names if fnmatchcase(name, TENSOR_PATTERN)]
    if len(tensor_files) > 1:  # an adapter beside a model is no part of it
        tensor_files = [name for name in tensor_files if name != ADAPTER]
    if len(indexes) > 1:
        raise LoadError(folder.name, f"holds {len(indexes)} indexes: {_listed(indexes)}; pass one of these files")
    if indexes:
        return _open_index(folder, folder.child(indexes[0]), folder, files)
    if not tensor_files:
        raise LoadError(folder.name, f"holds no {TENSOR_PATTERN} file")
    _check_numbering(folder, tensor_files)
    return _assemble(folder, [_open_shard(folder.child(name), name, files) for name in tensor_files])


def _check_numbering(folder: Source, names: list[str]) -> None:
    """Make sure that of ``model-00001-of-00003.safetensors`` and its like all are there, as no index tells."""
    sets = Counter(found.groups() for name in names if (found := _NUMBERED.fullmatch(name)))
    for (stem, total), n_found in sets.items():
        if n_found != int(total):
            files = f"{stem}-*-of-{total}.safetensors"
            raise LoadError(folder.name, f"holds {n_found} of the {int(total)} files {files}, and no index")


def _visible_names(folder: Source) -> list[str]:
    try:
        return sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise LoadError(folder.name, f"the folder cannot be listed ({error.strerror})") from error


def _open_index(source: Source, index: Source, folder: Source, files: ExitStack) -> Artifact:
    """Open the shards that an index names.

    Args:
        source: What the user named.
        index: The index file.
        folder: Where its shards are.
        files: Takes the files, to be closed on failure.
    """
    index_file = files.enter_context(index.open())
    weight_map = read_index(index_file)
    labels = sorted(set(weight_map.values()))
    shards = [_open_named_shard(folder, label, index_file, files) for label in labels]
    _check_weight_map(weight_map, shards, index_file)
    return _assemble(source, shards, (index_file,))


def _open_named_shard(folder: Source, label: str, index_file: DataFile, files: ExitStack) -> _Shard:
    if len(label) > MAX_LABEL:
        raise LoadError(index_file.name, f"names the file {shown(label)}, which is longer than a path can be")
    try:
        source = folder.child(label)
    except LoadError as error:
        raise LoadError(index_file.name, error.reason) from error
    try:
        file = files.enter_context(source.open())
    except LoadError as error:
        reason = f"{error.reason}; {Path(index_file.path).name} names it"
        raise LoadError(error.path, reason, error.offset) from error
    return _Shard(label, file, read_header(file))


def _open_shard(source: Source, label: str, files: ExitStack) -> _Shard:
    file = files.enter_context(source.open())
    return _Shard(label, file, read_header(file))


def _check_weight_map(weight_map: Mapping[str, str], shards: list[_Shard], index_file: DataFile) -> None:
    """Make sure that the index names exactly the tensors of the shards, each where it is."""
    unseen = dict(weight_map)
    for shard in shards:
        for ref in shard.header.tensors:
            label = weight_map.get(ref.name)
            if label != shard.label:
                there = f"has it in {shown(label)}" if label is not None else "does not name it"
                reason = f"tensor {shown(ref.name)} is here, and the index {index_file.name} {there}"
                raise LoadError(shard.file.name, reason, ref.offset)
            del unseen[ref.name]
    for name, label in unseen.items():
        reason = f"the index has tensor {shown(name)} in {shown(label)}, which does not hold it"
        raise LoadError(index_file.name, reason)


def _assemble(source: Source, shards: list[_Shard], more_files: tuple[DataFile, ...] = ()) -> Artifact:
    metadata = _merged_metadata(shards)
    return Artifact(
        name=source.name,
        format="safetensors",
        tensors=logical(_tensors(shards), source if source.is_folder else Source(source.path.parent)),
        tree={METADATA_KEY: metadata} if metadata else {},
        files=(*more_files, *(shard.file for shard in shards)),
    )


def _tensors(shards: list[_Shard]) -> dict[str, FileTensor]:
    tensors: dict[str, FileTensor] = {}
    for shard in shards:
        for ref in shard.header.tensors:
            if ref.name in tensors:
                reason = f"tensor {shown(ref.name)} is here and in {tensors[ref.name].file.name}; pass one of the files"
                raise SeparateFilesError(shard.file.name, reason, ref.offset)
            tensors[ref.name] = ref
    return tensors


def _merged_metadata(shards: list[_Shard]) -> dict[str, Any]:
    """Return the metadata of all shards; where they disagree, a key holds the value of each shard by its name."""
    by_key: dict[str, dict[str, str]] = {}
    for shard in shards:
        for key, value in shard.header.metadata.items():
            by_key.setdefault(key, {})[shard.label] = value
    return {
        key: next(iter(values.values())) if len(set(values.values())) == 1 else values for key, values in by_key.items()
    }


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")  # noqa: PLR2004 - as many as a line bears
