"""The index of a sharded checkpoint: which file holds which tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError
from diffai_load_safetensors.scanner import Scanner

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

MAX_INDEX_BYTES = 100_000_000
"""More than a million tensors."""


def read_index(file: DataFile) -> dict[str, str]:
    """Return the name of the shard for the key of each tensor.

    What else an index holds (``metadata`` with the total size) follows from the shards and is left out.

    Raises:
        LoadError: If this is not such an index.
    """
    if file.size > MAX_INDEX_BYTES:
        raise LoadError(file.name, f"an index of {file.size:,} bytes; at most {MAX_INDEX_BYTES:,} are read")
    scanner = Scanner(file.read(0, file.size), file.name)
    scanner.spaces()
    names: set[str] = set()
    weight_map: dict[str, str] | None = None
    more = scanner.enter()
    while more:
        start = scanner.position
        name = scanner.key()
        scanner.check_new(name, names, start)
        names.add(name)
        if name == "weight_map":
            weight_map = scanner.string_map()
        else:
            scanner.value()
        more = scanner.has_more()
    scanner.finish()
    if weight_map is None:
        raise LoadError(file.name, 'the index has no "weight_map"')
    return weight_map
