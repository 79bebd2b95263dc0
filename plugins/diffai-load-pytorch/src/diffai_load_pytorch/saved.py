"""The plain zip format: what ``torch.save`` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_load_pytorch.members import add_other_members

if TYPE_CHECKING:
    from diffai_load_pytorch.archive import Archive
    from diffai_load_pytorch.assembly import Assembly


def add_checkpoint(assembly: Assembly, archive: Archive, prefix: str) -> None:
    """Add what ``torch.save`` has written.

    Raises:
        LoadError: If it is damaged.
    """
    source = archive.source("data.pkl")
    found = archive.unpickled(source, "data/")
    assembly.add_pickle(found, source, archive.file, prefix, big_endian=archive.is_big_endian)
    assembly.add_rest(found, source, "data.pkl")
    add_other_members(assembly, archive, prefix)
