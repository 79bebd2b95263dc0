"""Files of parameters: tensors one behind the other, without their names."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_protobuf import Message

from diffai_core.plugin import DType, FileTensor, LoadError, dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from diffai_core.plugin import DataFile

MAX_TENSORS = 1_000_000
"""Most tensors in a file."""

_LEVELS = struct.Struct("<IQ")
_DESCRIBED = struct.Struct("<Ii")
_MAX_DESCRIPTION = 4096
_MAX_LEVELS = 64
_MAX_DIMENSIONS = 64
_MAX_ELEMENTS = 1 << 60
TYPES: dict[int, DType] = {
    number: dtype(name)
    for number, name in (
        (0, "bool"),
        (1, "int16"),
        (2, "int32"),
        (3, "int64"),
        (4, "float16"),
        (5, "float32"),
        (6, "float64"),
        (19, "uint64"),
        (20, "uint8"),
        (21, "int8"),
        (22, "bfloat16"),
        (23, "complex64"),
        (24, "complex128"),
        (32, "float8_e4m3fn"),
        (33, "float8_e5m2"),
        (36, "uint16"),
        (37, "uint32"),
        (38, "uint64"),
    )
}
"""Element types by their number in ``VarType``."""


class Stored(NamedTuple):
    """A tensor in a file.

    Args:
        start: Where its record begins.
        offset: Where its elements begin.
        kind: Type of its elements.
        shape: Length of each dimension.
    """

    start: int
    offset: int
    kind: DType
    shape: tuple[int, ...]

    def tensor(self, name: str, file: DataFile) -> FileTensor:
        """Return it as a tensor called ``name``."""
        return FileTensor(name=name, shape=self.shape, dtype=self.kind, file=file, offset=self.offset)


def read_parameters(file: DataFile) -> list[Stored]:
    """Return the tensors of a file in their order; only what describes them is read.

    Raises:
        LoadError: If a record is damaged, of an unknown type, or reaches behind the end.
    """
    found: list[Stored] = []
    place = 0
    while place < file.size:
        stored = _record(file, place)
        found.append(stored)
        if len(found) > MAX_TENSORS:
            raise LoadError(file.name, f"holds more than {MAX_TENSORS:,} tensors", place)
        place = stored.offset + stored.kind.nbytes(math.prod(stored.shape))
    return found


def _record(file: DataFile, start: int) -> Stored:
    place = start
    version, n_levels = _LEVELS.unpack(_read(file, place, _LEVELS.size))
    if version or n_levels > _MAX_LEVELS:
        raise LoadError(
            file.name, "the record of a tensor does not begin here; the file is damaged or no .pdiparams", place
        )
    place += _LEVELS.size
    for _ in range(n_levels):
        place += 8 + int.from_bytes(_read(file, place, 8), "little")
    version, n_description = _DESCRIBED.unpack(_read(file, place, _DESCRIBED.size))
    if version or not 0 < n_description <= _MAX_DESCRIPTION:
        raise LoadError(file.name, f"the description of a tensor has {n_description:,} bytes", place)
    place += _DESCRIBED.size
    data = _read(file, place, n_description)
    kind, shape = _description(Message.in_memory(data, file.name, place))
    place += n_description
    missing = place + kind.nbytes(math.prod(shape)) - file.size
    if missing > 0:
        raise LoadError(file.name, f"the file ends here, {missing:,} bytes too early for a tensor", file.size)
    return Stored(start, place, kind, shape)


def _read(file: DataFile, place: int, count: int) -> bytes:
    if place + count > file.size:
        raise LoadError(file.name, "the file ends here, inside the record of a tensor", file.size)
    return file.read(place, count)


def _description(message: Message) -> tuple[DType, tuple[int, ...]]:
    number, dims = -1, list(_dims(message))
    for field in message.fields():
        if field.number == 1:
            number = field.unsigned()
    if number not in TYPES:
        raise message.error(f"a tensor has the element type {number}, which is not known")
    if len(dims) > _MAX_DIMENSIONS or any(length < 0 for length in dims):
        raise message.error(f"a tensor has the dimensions {dims[:8]}")
    if math.prod(length or 1 for length in dims) > _MAX_ELEMENTS:
        raise message.error("a tensor has more elements than an array can have")
    return TYPES[number], tuple(dims)


def _dims(message: Message) -> Iterator[int]:
    for field in message.fields():
        if field.number == 2:  # noqa: PLR2004 - dimensions
            yield from field.all_signed()
