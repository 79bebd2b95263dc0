"""Distributed checkpoints: a pickle that says which part of which tensor is where in which file."""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_pickle import FileSource, Global, Inert, Rules, load
from diffai_lib_pickle.arrays import MAX_DIMENSIONS, checked_shape
from diffai_lib_pickle.tree import divide

from diffai_core.plugin import BlockTensor, FileTensor, LoadError, NotCompared, shown
from diffai_load_pytorch.archive import Archive
from diffai_load_pytorch.assembly import Assembly, role_of
from diffai_load_pytorch.builders import torch_builders, type_of
from diffai_load_pytorch.chunks import Chunk, chunk_blocks
from diffai_load_pytorch.saved import add_checkpoint
from diffai_load_pytorch.sharded import MAX_LABEL
from diffai_load_pytorch.tensors import tensor_ref
from diffai_load_pytorch.values import TensorValue

if TYPE_CHECKING:
    from contextlib import ExitStack

    from diffai_core.plugin import DataFile, Source

METADATA_NAME = ".metadata"
FILE_PATTERN = "*.distcp"
MAX_PARTS = 2048
"""Parts of one tensor: each is held against each."""

PLANNER_KEY = "__planner_data__"

_METADATA = "torch.distributed.checkpoint.metadata"


class _Place(NamedTuple):
    file: DataFile
    start: int
    length: int


def is_distributed(folder: Source) -> bool:
    """Whether a folder holds files of a distributed checkpoint."""
    return any(folder.path.glob(FILE_PATTERN))


def add_distributed(folder: Source, files: list[DataFile], stack: ExitStack) -> Assembly:
    """Open a folder that ``torch.distributed.checkpoint`` has written.

    Raises:
        LoadError: If something is missing or damaged, or a part lies outside of its file or tensor.
    """
    file = stack.enter_context(folder.child(METADATA_NAME).open())
    files.append(file)
    source = FileSource(file, 0, file.size)
    found = load(source, 0, Rules(torch_builders()))
    if found.end < file.size:
        raise LoadError(file.name, f"{file.size - found.end:,} bytes follow the pickle", found.end)
    reader = _Metadata(found.value, source)
    places = reader.places(folder, files, stack)
    assembly = Assembly(sum(one.size for one in files))
    assembly.add_foreign(found, source, file)
    for name, described in reader.entries():
        if described.path == f"{_METADATA}.BytesStorageMetadata":
            _add_bytes(assembly, name, places, source)
        else:
            _add_tensor(assembly, name, described, places, source)
    planner = divide(reader.fields.get("planner_data"), source, lambda _: False).tree
    if planner:
        assembly.add_tree(planner, PLANNER_KEY, file)
    return assembly


class _Metadata:
    """The pickle, taken apart."""

    def __init__(self, value: Any, source: FileSource) -> None:
        if not isinstance(value, Inert) or value.path != f"{_METADATA}.Metadata":
            raise source.error("is not the metadata of a distributed checkpoint", 0)
        self.fields = value.attributes()
        self._source = source

    def entries(self) -> list[tuple[str, Inert]]:
        """Return the name and description of everything."""
        found = self.fields.get("state_dict_metadata")
        if not isinstance(found, dict) or not all(type(k) is str and isinstance(v, Inert) for k, v in found.items()):
            raise self._source.error("has no list of tensors", 0)
        return list(found.items())

    def places(self, folder: Source, files: list[DataFile], stack: ExitStack) -> dict[Any, _Place]:
        """Return where each part is, by name and first element."""
        stored = self.fields.get("storage_data")
        if not isinstance(stored, dict):
            raise self._source.error("does not say where the tensors are", 0)
        opened: dict[str, DataFile] = {}
        places: dict[Any, _Place] = {}
        for key, value in stored.items():
            index, info = _attributes(key), _attributes(value)
            where: tuple[Any, Any, Any] = info.get("relative_path"), info.get("offset"), info.get("length")
            label, start, length = where
            name, first = index.get("fqn"), index.get("offset")
            if not _is_place(label, start, length) or type(name) is not str or not _is_index(first):
                raise self._source.error("the place of a part is damaged", 0)
            if info.get("transform_descriptors"):
                raise self._source.error("parts of the checkpoint are transformed (compressed or encrypted)", 0)
            if label not in opened:
                opened[label] = stack.enter_context(folder.child(label).open())
                files.append(opened[label])
            file = opened[label]
            if start < 0 or length < 0 or start + length > file.size:
                raise LoadError(file.name, f"a part would take bytes {start:,} to {start + length:,}", file.size)
            places[name, first] = _Place(file, start, length)
        return places


def _is_place(label: Any, start: Any, length: Any) -> bool:
    return type(label) is str and len(label) <= MAX_LABEL and type(start) is int and type(length) is int


def _is_index(value: Any) -> bool:
    """Whether a value is the place of an element in a tensor, or ``None`` for what is no tensor."""
    return value is None or (
        type(value) is tuple and len(value) <= MAX_DIMENSIONS and all(type(n) is int for n in value)
    )


def _attributes(value: Any) -> dict[Any, Any]:
    return value.attributes() if isinstance(value, Inert) else {}


def _add_bytes(assembly: Assembly, name: str, places: dict[Any, _Place], source: FileSource) -> None:
    """Add what is no tensor: a checkpoint of its own."""
    place = places.get((name, None))
    if place is None:
        raise source.error(f"does not say where {shown(name)} is", 0)
    add_checkpoint(assembly, Archive(place.file, place.start, place.length), name)


def _add_tensor(assembly: Assembly, name: str, described: Inert, places: dict[Any, _Place], source: FileSource) -> None:
    fields = described.attributes()
    size, chunks, kind = fields.get("size"), fields.get("chunks"), _dtype_of(fields.get("properties"))
    if type(size) is not tuple or not isinstance(chunks, list) or kind is None:
        raise source.error(f"tensor {shown(name)} is described wrongly", 0)
    if len(chunks) > MAX_PARTS:
        raise source.error(f"tensor {shown(name)} has {len(chunks):,} parts; at most {MAX_PARTS:,} are read", 0)
    try:
        torch_type = type_of(kind)
        parts = [_part(assembly, name, part, places, checked_shape(size)) for part in chunks]
    except (ValueError, TypeError) as error:
        raise source.error(f"tensor {shown(name)}: {error}", 0) from error
    covered = sum(math.prod(part.value.size) for part in parts)
    if covered != math.prod(size) or any(_share(one, other) for one, other in combinations(parts, 2)):
        reason = f"the parts of tensor {shown(name)} hold {covered:,} of its {math.prod(size):,} elements, or overlap"
        raise source.error(reason, 0)
    if any(part.value.type is not torch_type for part in parts):
        raise source.error(f"tensor {shown(name)} is said to be {torch_type.name}, and its parts are not", 0)
    if len(parts) == 1:
        (part,) = parts
        assembly.add_tensor(name, part.value, role_of(name), part.file, big_endian=part.big_endian)
    else:
        _add_parts(assembly, name, size, parts)


def _dtype_of(properties: Any) -> Global | None:
    state = properties.state if isinstance(properties, Inert) else None
    kind = state[0] if type(state) is tuple and state else state.get("dtype") if isinstance(state, dict) else None
    return kind if isinstance(kind, Global) else None


class _Part(NamedTuple):
    """A box of a tensor, and the checkpoint that holds it."""

    offsets: tuple[int, ...]
    value: TensorValue
    file: DataFile
    big_endian: bool


def _part(assembly: Assembly, name: str, described: Any, places: dict[Any, _Place], size: tuple[int, ...]) -> _Part:
    """Return a part, after checking that the checkpoint in the file is what the metadata say."""
    fields = _attributes(described)
    offsets, lengths = fields.get("offsets"), fields.get("sizes")
    if type(offsets) is not tuple or type(lengths) is not tuple or not len(offsets) == len(lengths) == len(size):
        raise ValueError("a part is described wrongly")
    if any(not 0 <= first <= first + n <= whole for first, n, whole in zip(offsets, lengths, size, strict=True)):
        raise ValueError("a part reaches beyond it")
    place = places.get((name, offsets)) or places.get((name, None))
    if place is None:
        raise ValueError("a part is in no file")
    archive = Archive(place.file, place.start, place.length)
    source = archive.source("data.pkl")
    found = archive.unpickled(source, "data/")
    assembly.add_foreign(found, source, place.file)
    value = found.value
    if not isinstance(value, TensorValue) or value.size != lengths:
        raise ValueError("a part is another tensor than it is said to be")
    return _Part(offsets, value, place.file, archive.is_big_endian)


def _share(one: _Part, other: _Part) -> bool:
    """Whether two parts have an element in common."""
    sides = zip(one.offsets, one.value.size, other.offsets, other.value.size, strict=True)
    return all(a < b + n and b < a + m for a, m, b, n in sides)


def _add_parts(assembly: Assembly, name: str, size: tuple[int, ...], parts: list[_Part]) -> None:
    ordered = sorted(parts, key=lambda part: part.offsets)
    refs = [tensor_ref(name, part.value, role_of(name), big_endian=part.big_endian) for part in ordered]
    kind = refs[0].dtype
    if not all(isinstance(ref, FileTensor) for ref in refs) or kind.bits < 8:  # noqa: PLR2004 - a byte
        assembly.not_readable.append(NotCompared(name, "has parts that are compressed, strided, or of a packed type"))
        return
    chunks = tuple(
        Chunk(part.offsets, ref.shape, ref.file, ref.offset)
        for part, ref in zip(ordered, refs, strict=True)
        if isinstance(ref, FileTensor)
    )
    assembly.tensors[name] = BlockTensor(
        name=name,
        shape=size,
        dtype=kind,
        role=role_of(name),
        open_blocks=partial(chunk_blocks, chunks, size, kind),
        shared_storage=tuple(ref.storage for ref in refs),
    )
