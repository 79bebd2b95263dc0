"""The zip files that PyTorch writes: where pickles and storages are in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_pickle import BytesSource, FileSource, Global, Rules, load
from diffai_lib_zip import DEFLATED, MemberPayload, Region, directory_within, read_all

from diffai_core.plugin import LoadError, shown
from diffai_load_pytorch.builders import torch_builders
from diffai_load_pytorch.dtypes import STORAGES, TorchType
from diffai_load_pytorch.values import StorageValue

if TYPE_CHECKING:
    from diffai_lib_pickle import Source, Unpickled
    from diffai_lib_zip import Member, Payload

    from diffai_core.plugin import DataFile

MAX_PICKLE_BYTES = 256 << 20
"""Largest compressed pickle; an uncompressed one is read where it lies."""

_MAX_WORD = 256


class Archive:
    """A zip file of PyTorch, or one inside another file.

    Args:
        file: The file.
        start: Offset of its first byte.
        length: Bytes it takes; all of the file if not given.

    Raises:
        LoadError: If it is no zip file, or two of its pickles have names that differ in nothing but case.
    """

    def __init__(self, file: DataFile, start: int = 0, length: int | None = None) -> None:
        self.file = file
        self.start = start
        found = directory_within(file, start, file.size - start if length is None else length)
        members = [member for member in found.members if member.size or not member.name.endswith("/")]
        tops = {member.name.partition("/")[0] for member in members if "/" in member.name}
        self.top = f"{next(iter(tops))}/" if len(tops) == 1 and all("/" in m.name for m in members) else ""
        self.used: set[str] = set()
        self.members: dict[str, Member] = {member.name.removeprefix(self.top): member for member in members}

        for name in self.members:
            plain = name.lower()
            if plain != name and plain.endswith(".pkl") and plain in self.members:
                reason = f"has members {shown(plain)} and {shown(name)}; PyTorch may read either as the other"
                raise LoadError(file.name, reason, self.members[name].start)

    def has(self, name: str) -> bool:
        """Whether there is a member of that name, the top folder left out."""
        return name in self.members

    def payload(self, name: str) -> Payload:
        """Return the bytes of a member; those that lie in the file as they are can be read without their checksum.

        Raises:
            LoadError: If there is none.
        """
        member = self._member(name)
        if member.method == DEFLATED:
            return MemberPayload(self.file, member)
        return Region(self.file, member.start, member.size)

    def _member(self, name: str) -> Member:
        if name not in self.members:
            raise LoadError(
                self.file.name, f"has no member {shown(self.top + name)}, which the checkpoint needs", self.start
            )
        self.used.add(name)
        return self.members[name]

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of a small member, its checksum checked.

        Raises:
            LoadError: If there is none, or it is larger, or damaged.
        """
        return read_all(MemberPayload(self.file, self._member(name)), limit)

    def word(self, name: str) -> str:
        """Return the text of a member that holds one word; empty if there is none."""
        return self.read(name, _MAX_WORD).decode("ascii", "replace").strip() if self.has(name) else ""

    @property
    def is_big_endian(self) -> bool:
        """Whether the bytes of tensors are in big-endian order.

        Raises:
            LoadError: If the file says something that is neither.
        """
        order = self.word("byteorder")
        if order not in {"", "little", "big"}:
            raise LoadError(self.file.name, f"the byte order is {shown(order)}, neither little nor big", self.start)
        return order == "big"

    def source(self, name: str) -> Source:
        """Return a pickle in the archive, after checking its checksum."""
        member = self._member(name)
        payload = MemberPayload(self.file, member)
        if payload.compressed:
            return BytesSource(read_all(payload, MAX_PICKLE_BYTES), self.file.name, member.start, is_packed=True)
        payload.reader().finish()
        return FileSource(self.file, member.start, member.size)

    def unpickled(self, source: Source, folder: str) -> Unpickled:
        """Read a pickle of the archive whose storages are members of ``folder``.

        Raises:
            LoadError: If it is damaged, or a storage is not there or has another size.
        """
        storages: dict[str, StorageValue] = {}

        def persistent(pid: Any, _: int) -> StorageValue:
            key, kind, numel = storage_id(pid)
            if key not in storages:
                payload = self.payload(folder + key)
                check_storage(key, kind, numel, payload.size)
                storages[key] = StorageValue(key, kind, numel, payload)
            known = storages[key]
            if known.type is not kind or known.numel != numel:  # seen as another type
                check_storage(key, kind, numel, known.numel * known.type.itemsize)
                return StorageValue(key, kind, numel, known.payload)
            return known

        return load(source, 0, Rules(torch_builders(), persistent))


def storage_id(pid: Any) -> tuple[str, TorchType, int]:
    """Return key, type and number of elements of the storage that a persistent id names.

    Raises:
        ValueError: If it is no such id.
    """
    if type(pid) is not tuple or len(pid) < 5 or pid[0] != "storage":  # noqa: PLR2004 - what, type, key, place, elements
        raise ValueError("an object is kept elsewhere in a way that is not known")
    _, kind, key, _, numel = pid[:5]
    if type(key) is not str or type(numel) is not int or not 0 <= numel < 1 << 63:
        raise ValueError("a storage has no proper name or size")
    return key, storage_type(kind), numel


def storage_type(kind: Any) -> TorchType:
    """Return the type of elements that a class of storages has.

    Raises:
        ValueError: If it is none of PyTorch's.
    """
    if not isinstance(kind, Global) or kind.name not in STORAGES or not kind.module.startswith("torch"):
        name = kind.path if isinstance(kind, Global) else "none"
        raise ValueError(f"a storage has the unknown type {shown(name)}; upgrade diffai-load-pytorch")
    return STORAGES[kind.name]


def check_storage(key: str, kind: TorchType, numel: int, held: int) -> None:
    """Make sure that a storage has as many bytes as it is said to have.

    Raises:
        ValueError: If not.
    """
    if numel * kind.itemsize != held:
        raise ValueError(
            f"storage {shown(key)} has {held:,} bytes,"
            f" and {numel:,} elements of {kind.name} take {numel * kind.itemsize:,}"
        )
