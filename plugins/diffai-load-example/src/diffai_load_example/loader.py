"""Open example files: a line of magic, one line for each array, an empty line, then all elements.

    EXAMPLE 1
    fc.weight 2 3
    fc.bias 3

The elements are little-endian float32, array after array, without gaps.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import Artifact, DataFile, FileTensor, LoadError, Source, dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"EXAMPLE 1\n"
MAX_HEADER = 1 << 20
_ARRAY = re.compile(r"(?P<name>\S+)(?P<shape>( [0-9]{1,15}){0,32})")


def open_file(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Read the header; the elements stay on disk until somebody asks for them.

    Raises:
        LoadError: If the file is damaged or of another format.
    """
    file = source.open()
    try:
        tensors = _tensors(file)
    except BaseException:
        file.close()
        raise
    return Artifact(name=source.name, format="example", tensors=tensors, files=(file,))


def _tensors(file: DataFile) -> dict[str, FileTensor]:
    header = _header(file)
    tensors: dict[str, FileTensor] = {}
    line_start = len(MAGIC)
    payload = len(MAGIC) + len(header.encode()) + len("\n")
    for line in header.split("\n")[:-1]:
        found = _ARRAY.fullmatch(line)
        if found is None or found["name"] in tensors:
            raise LoadError(file.name, "wanted a new name and a shape, such as 'fc.weight 2 3'", line_start)
        shape = tuple(int(length) for length in found["shape"].split())
        tensor = FileTensor(name=found["name"], shape=shape, dtype=dtype("float32"), file=file, offset=payload)
        tensors[tensor.name] = tensor
        payload += tensor.nbytes
        line_start += len(line.encode()) + len("\n")
    if payload != file.size:
        raise LoadError(file.name, f"the arrays end at byte {payload:,}, the file at {file.size:,}", file.size)
    return tensors


def _header(file: DataFile) -> str:
    """Return the lines between the magic and the empty line, each with its line end."""
    head = file.read(0, min(file.size, MAX_HEADER))
    if not head.startswith(MAGIC):
        raise LoadError(file.name, "is no example file: the first line is not 'EXAMPLE 1'", 0)
    end = head.find(b"\n\n", len(MAGIC) - 1)
    if end < 0:
        raise LoadError(file.name, "no empty line ends the header", len(head))
    try:
        return head[len(MAGIC) : end + 1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise LoadError(file.name, "the header is not UTF-8", len(MAGIC) + error.start) from error
