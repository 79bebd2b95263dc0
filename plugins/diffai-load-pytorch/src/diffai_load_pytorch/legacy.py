"""The format before zip: five pickles, one after the other, and then the bytes of the storages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_pickle import FileSource, Rules, load
from diffai_lib_zip import Region

from diffai_core.plugin import LoadError, shown
from diffai_load_pytorch.archive import storage_id
from diffai_load_pytorch.builders import torch_builders
from diffai_load_pytorch.values import StorageValue

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile
    from diffai_load_pytorch.assembly import Assembly

_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def is_legacy(head: bytes) -> bool:
    """Whether a file begins with the number of this format."""
    return head.startswith(_MAGIC, 2) or head.startswith(_MAGIC, 11)


def add_legacy(assembly: Assembly, file: DataFile, prefix: str) -> None:
    """Add what a file of the format holds.

    Raises:
        LoadError: If it is damaged.
    """
    source = FileSource(file, 0, file.size)
    position = 0
    start: list[Any] = []
    for _ in range(3):
        plain = assembly.load_plain(source, position)
        start.append(plain.value)
        position = plain.end
    if start[:2] != [_MAGIC_NUMBER, _PROTOCOL] or not isinstance(start[2], dict):
        raise source.error("the format before zip in a version that is not known", 0)
    big_endian = start[2].get("little_endian") is False
    storages = LegacyStorages()
    found = load(source, position, Rules(torch_builders(), storages.persistent))
    keys = assembly.load_plain(source, found.end)
    end = storages.locate(file, keys.value, keys.end, "big" if big_endian else "little")
    if end < file.size:
        raise LoadError(file.name, f"{file.size - end:,} bytes follow the last storage", end)
    assembly.add_pickle(found, source, file, prefix, big_endian=big_endian)


class LegacyStorages:
    """The storages that a pickle refers to before it is known where they are."""

    def __init__(self) -> None:
        self._roots: dict[str, StorageValue] = {}
        self._views: dict[str, list[StorageValue]] = {}

    def persistent(self, pid: Any, _: int) -> Any:
        """Answer for a persistent id: a storage, or a class whose source code was saved beside it."""
        if type(pid) is tuple and len(pid) == 4 and pid[0] == "module":  # noqa: PLR2004 - what, class, file, code
            return pid[1]
        key, kind, numel = storage_id(pid)
        root = self._roots.setdefault(key, StorageValue(key, kind, numel))
        if root.type.itemsize * root.numel != kind.itemsize * numel:
            raise ValueError(f"storage {shown(key)} is said to have two sizes")
        view = pid[5] if len(pid) > 5 else None  # noqa: PLR2004 - the view
        if view is None and root.type is kind:
            return root
        made = StorageValue(key, kind, numel)
        if view is not None:
            _, first, length = view
            if type(first) is not int or type(length) is not int or first < 0 or not 0 <= length <= numel - first:
                raise ValueError(f"a view of storage {shown(key)} reaches beyond it")
            made.first, made.numel = first, length
        self._views.setdefault(key, []).append(made)
        return made

    def locate(self, file: DataFile, keys: Any, position: int, order: Any) -> int:
        """Find the bytes of all storages, which follow each other from ``position`` on; return where they end.

        Raises:
            LoadError: If they are not those that are needed, or do not fit into the file.
        """
        names = keys if isinstance(keys, list) else []
        if len(names) != len(self._roots) or any(type(key) is not str or key not in self._roots for key in names):
            raise LoadError(file.name, "the storages are not those that the pickle refers to", position)
        for key in names:
            root = self._roots[key]
            position = locate_storage(file, root, position, order)
            for view in self._views.get(key, ()):
                view.payload = root.payload
        if any(root.payload is None for root in self._roots.values()):
            raise LoadError(file.name, "a storage is listed twice, and another one never", position)
        return position


def locate_storage(file: DataFile, storage: StorageValue, position: int, order: Any) -> int:
    """Find the bytes of a storage behind the number of its elements; return where they end.

    Raises:
        LoadError: If the number is another, or the file ends before.
    """
    if position + 8 > file.size:
        raise LoadError(file.name, f"the file ends before storage {shown(storage.key)}", file.size)
    numel = int.from_bytes(file.read(position, 8), order, signed=True)
    if numel != storage.numel:
        reason = f"storage {shown(storage.key)} has {numel:,} elements here, and {storage.numel:,} in the pickle"
        raise LoadError(file.name, reason, position)
    start, n_bytes = position + 8, numel * storage.type.itemsize
    if start + n_bytes > file.size:
        missing = start + n_bytes - file.size
        raise LoadError(file.name, f"the file ends here, {missing:,} bytes too early", file.size)
    storage.payload = Region(file, start, n_bytes)
    return start + n_bytes
