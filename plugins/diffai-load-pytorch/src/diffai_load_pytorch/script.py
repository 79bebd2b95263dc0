"""TorchScript: attributes and constants as of any checkpoint; the code is read as text and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_load_pytorch.members import add_other_members, text_or_digest

if TYPE_CHECKING:
    from diffai_load_pytorch.archive import Archive
    from diffai_load_pytorch.assembly import Assembly

CONSTANTS_KEY = "CONSTANTS"
"""What the code itself calls them."""

CODE_KEY = "__code__"


def add_script(assembly: Assembly, archive: Archive, prefix: str) -> None:
    """Add tensors, attributes, constants and code.

    Raises:
        LoadError: If something is damaged.
    """
    big_endian = archive.is_big_endian
    for pickle, folder, name in (("data.pkl", "data/", ""), ("constants.pkl", "constants/", CONSTANTS_KEY)):
        if archive.has(pickle):
            source = archive.source(pickle)
            found = archive.unpickled(source, folder)
            assembly.add_rest(found, source, pickle)
            below = ".".join(part for part in (prefix, name) if part)
            if found.value != ():
                assembly.add_pickle(found, source, archive.file, below, big_endian=big_endian)
    code = [name for name in archive.members if name.startswith("code/") and name.endswith(".py")]
    texts = {name.removeprefix("code/"): text_or_digest(archive, name) for name in code}
    if texts:
        assembly.add_tree(texts, f"{prefix}.{CODE_KEY}" if prefix else CODE_KEY, archive.file)
    add_other_members(assembly, archive, prefix)
