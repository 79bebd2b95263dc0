"""Recognises which of PyTorch's formats a file has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError
from diffai_load_pytorch.archive import Archive
from diffai_load_pytorch.exported import add_exported, is_exported
from diffai_load_pytorch.legacy import add_legacy, is_legacy
from diffai_load_pytorch.saved import add_checkpoint
from diffai_load_pytorch.script import add_script
from diffai_load_pytorch.tar import add_tar, is_tar

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile
    from diffai_load_pytorch.assembly import Assembly

_HEAD = 512


def add_file(assembly: Assembly, file: DataFile, prefix: str = "") -> None:
    """Add what a file holds.

    Raises:
        LoadError: If it is no file of PyTorch, or damaged.
    """
    head = file.read(0, min(_HEAD, file.size))
    if head.startswith(b"PK"):
        add_archive(assembly, Archive(file), prefix)
    elif is_legacy(head):
        add_legacy(assembly, file, prefix)
    elif is_tar(head):
        add_tar(assembly, file, prefix)
    else:
        reason = "is no PyTorch file: neither the zip format, nor one of the two before it"
        raise LoadError(file.name, reason, 0)


def add_archive(assembly: Assembly, archive: Archive, prefix: str) -> None:
    """Add what a zip file holds.

    Raises:
        LoadError: If it is not one of PyTorch's, or damaged.
    """
    if is_exported(archive):
        add_exported(assembly, archive, prefix)
    elif archive.has("constants.pkl") or archive.has("bytecode.pkl"):
        add_script(assembly, archive, prefix)
    elif archive.has("data.pkl"):
        add_checkpoint(assembly, archive, prefix)
    elif archive.has("model.json"):
        reason = "is TorchScript of PyTorch 1.0 to 1.3; load it with PyTorch and save it again"
        raise LoadError(archive.file.name, reason, archive.start)
    else:
        raise LoadError(archive.file.name, "is a zip file without the data.pkl of a PyTorch file", archive.start)
