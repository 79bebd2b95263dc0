"""The first format, of PyTorch before 0.1.10: a tar file of storages, tensors and a pickle."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from diffai_lib_pickle import FileSource, Rules, load

from diffai_core.plugin import LoadError, NotCompared
from diffai_load_pytorch.archive import storage_type
from diffai_load_pytorch.builders import torch_builders, view
from diffai_load_pytorch.legacy import locate_storage
from diffai_load_pytorch.values import StorageValue, TensorValue

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile
    from diffai_load_pytorch.assembly import Assembly

_BLOCK = 512
_NAMES = {"sys_info", "storages", "tensors", "pickle"}
_MAX_MEMBERS = 64
_MAX_DIMENSIONS = 64


def is_tar(head: bytes) -> bool:
    """Whether a file begins as the format does."""
    return head.startswith(b"sys_info\0") and head[257:262] == b"ustar"


def add_tar(assembly: Assembly, file: DataFile, prefix: str) -> None:
    """Add what a file of the format holds.

    Raises:
        LoadError: If it is damaged.
    """
    members = _members(file)
    missing = {"storages", "tensors", "pickle"} - members.keys()
    if missing:
        raise LoadError(file.name, f"has no member {min(missing)!r}", file.size)
    for name in members.keys() - _NAMES:
        assembly.not_readable.append(NotCompared(name, "a member that PyTorch does not write"))
    objects: dict[str, Any] = {}
    _read_storages(assembly, FileSource(file, *members["storages"]), objects)
    _read_tensors(assembly, FileSource(file, *members["tensors"]), objects)

    def persistent(pid: Any, _: int) -> Any:
        if type(pid) is tuple and pid:  # a class, whose source code was saved beside it
            return pid[0]
        if str(pid) not in objects:
            raise ValueError(f"the pickle refers to object {str(pid)[:80]!r}, which is not there")
        return objects[str(pid)]

    start, size = members["pickle"]
    source = FileSource(file, start, size)
    found = load(source, 0, Rules(torch_builders(), persistent))
    assembly.add_pickle(found, source, file, prefix)


def _members(file: DataFile) -> dict[str, tuple[int, int]]:
    """Return start and size of the members by name."""
    members: dict[str, tuple[int, int]] = {}
    at = 0
    while at + _BLOCK <= file.size:
        header = file.read(at, _BLOCK)
        if not header.strip(b"\0"):
            break
        name = header[:100].rstrip(b"\0").decode("ascii", "replace").removeprefix("./")
        digits = header[124:136].strip(b"\0 ")
        size = int(digits, 8) if digits and all(48 <= digit < 56 for digit in digits) else -1  # noqa: PLR2004 - octal digits
        if (
            size < 0
            or header[257:262] != b"ustar"
            or sum(header[:148]) + 8 * 32 + sum(header[156:]) != _checksum(header)
        ):
            raise LoadError(file.name, "the header of a member is damaged", at)
        if at + _BLOCK + size > file.size:
            raise LoadError(file.name, f"the file ends inside its member {name[:80]!r}", file.size)
        if name in members or len(members) == _MAX_MEMBERS:
            raise LoadError(file.name, "has more members than a checkpoint has", at)
        members[name] = at + _BLOCK, size
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
    return members


def _checksum(header: bytes) -> int:
    digits = header[148:156].strip(b"\0 ")
    return int(digits, 8) if digits and all(48 <= digit < 56 for digit in digits) else -1  # noqa: PLR2004 - octal digits


def _read_storages(assembly: Assembly, source: FileSource, objects: dict[str, Any]) -> None:
    count = assembly.load_plain(source)
    position = count.end
    for _ in range(_count(count.value, source)):
        described = assembly.load_plain(source, position)
        try:
            key, _, kind = described.value
            storage = StorageValue(str(key), storage_type(kind), 0)
        except (ValueError, TypeError) as error:
            raise source.error(f"a storage is described wrongly ({error})", position) from error
        at = source.offset(described.end)
        has_size = described.end + 8 <= source.size
        storage.numel = int.from_bytes(source.file.read(at, 8), "little", signed=True) if has_size else -1
        if storage.numel < 0:
            raise source.error("a storage without a size", described.end)
        position = locate_storage(source.file, storage, at, "little") - source.start
        objects[str(key)] = storage
    _read_views(assembly, source, position, objects)


def _read_views(assembly: Assembly, source: FileSource, position: int, objects: dict[str, Any]) -> None:
    views = assembly.load_plain(source, position).value
    try:
        for key, root_key, first, numel in views:
            objects[str(key)] = _view(str(key), objects[str(root_key)], first, numel)
    except (ValueError, TypeError, KeyError) as error:
        raise source.error(f"a view of a storage is described wrongly ({error})", position) from error


def _view(key: str, root: StorageValue, first: int, numel: int) -> StorageValue:
    if not 0 <= first <= root.numel - numel <= root.numel:
        raise ValueError("it reaches beyond it")
    made = StorageValue(key, root.type, numel, root.payload)
    made.first = first
    return made


def _read_tensors(assembly: Assembly, source: FileSource, objects: dict[str, Any]) -> None:
    count = assembly.load_plain(source)
    position = count.end
    for _ in range(_count(count.value, source)):
        described = assembly.load_plain(source, position)
        try:
            key, storage_key, _ = described.value
            storage = objects[str(storage_key)]
            numbers, position = _dimensions(source, described.end)
            objects[str(key)] = _tensor(storage, numbers)
        except (ValueError, TypeError, KeyError) as error:
            raise source.error(f"a tensor is described wrongly ({error})", position) from error


def _dimensions(source: FileSource, position: int) -> tuple[tuple[int, ...], int]:
    """Return sizes, strides and offset, and where they end."""
    if position + 8 > source.size:
        raise source.error("the member ends inside a tensor", source.size)
    (n_dimensions,) = struct.unpack("<i", source.read(position, 4))
    n_bytes = 8 * (2 * n_dimensions + 1)
    if not 0 <= n_dimensions <= _MAX_DIMENSIONS or position + 8 + n_bytes > source.size:
        raise source.error("a tensor with a number of dimensions that none has", position)
    return struct.unpack(f"<{n_bytes // 8}q", source.read(position + 8, n_bytes)), position + 8 + n_bytes


def _tensor(storage: StorageValue, numbers: tuple[int, ...]) -> TensorValue:
    n_dimensions = len(numbers) // 2
    return view(storage, storage.type, numbers[-1], numbers[:n_dimensions], numbers[n_dimensions:-1])


def _count(value: Any, source: FileSource) -> int:
    """Return a number of objects, each of which takes some bytes."""
    if type(value) is not int or not 0 <= value <= source.size:
        raise source.error("a number of objects that the file cannot hold", 0)
    return value
