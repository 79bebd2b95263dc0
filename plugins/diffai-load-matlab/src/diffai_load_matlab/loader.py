"""Opens MATLAB files."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, LoadError
from diffai_load_matlab.contents import Contents
from diffai_load_matlab.sniff import HEAD_BYTES, byte_order, order_of_version_4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import DataFile, Source
    from diffai_load_matlab.values import Value

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIGNATURE_PLACES = (0, 512, 1024, 2048)


def open_mat(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a MATLAB file of any version.

    Args:
        source: The file.

    Returns:
        Numeric variables as tensors in MATLAB's shape; texts, cells and structs in the tree, their arrays as tensors
        under MATLAB's own expressions: ``net.layers{2}.weights``.

    Raises:
        LoadError: If it is damaged.
    """
    contents = Contents()
    with ExitStack() as stack:
        file = stack.enter_context(source.open())
        for name, value in _variables(file):
            contents.add(name, value)
        stack.pop_all()
    return Artifact(
        name=source.name,
        format="matlab",
        tensors=contents.tensors,
        tree=contents.tree,
        files=(file,),
        not_readable=tuple(contents.not_readable),
    )


def _variables(file: DataFile) -> Iterator[tuple[str, Value]]:
    head = file.read(0, min(file.size, _SIGNATURE_PLACES[-1] + len(_SIGNATURE)))
    if any(head.startswith(_SIGNATURE, place) for place in _SIGNATURE_PLACES):
        from diffai_load_matlab.version73 import read_version_73

        return read_version_73(file)
    if byte_order(head[:HEAD_BYTES]):
        from diffai_load_matlab.version5 import read_version_5

        return read_version_5(file)
    if order_of_version_4(head, file.size):
        from diffai_load_matlab.version4 import read_version_4

        return read_version_4(file)
    raise LoadError(file.name, "is no MATLAB file: neither the head of version 5 or 7.3 nor a matrix of version 4", 0)
