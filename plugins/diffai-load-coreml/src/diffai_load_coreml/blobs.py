"""The weights beside a model: files of records, each with a header of 64 bytes that says what it holds, and where."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError, Source
from diffai_load_coreml.stored import Stored

if TYPE_CHECKING:
    from contextlib import ExitStack

    from diffai_core.plugin import DataFile

_HEADER = struct.Struct("<II")
_RECORD = struct.Struct("<IIQQ")
_RECORD_BYTES = 64
"""With what is reserved, where older writers left whatever was in memory."""
_VERSION = 2
_SENTINEL = 0xDEADBEEF
_MODEL_PATH = "@model_path/"
_CODES = {
    1: "float16",
    2: "float32",
    3: "uint8",
    4: "int8",
    5: "bfloat16",
    6: "int16",
    7: "uint16",
    8: "int4",
    9: "uint1",
    10: "uint2",
    11: "uint4",
    12: "uint3",
    13: "uint6",
    14: "int32",
    15: "uint32",
    16: "float8e4m3fn",
    17: "float8e5m2",
}


class Blobs:
    """Opens the files that a model names, each once and only inside the folder of the model.

    Args:
        model: The file that names them.
        name: How messages call that file.
        files: Takes what is opened.
    """

    def __init__(self, model: Source, name: str, files: ExitStack) -> None:
        self._folder = Source(model.path.parent, os.path.dirname(name) or ".")  # noqa: PTH120 - a name, no path
        self._name = model.path.name
        self._files = files
        self._opened: dict[str, DataFile] = {}

    @property
    def files(self) -> tuple[DataFile, ...]:
        """What was opened."""
        return tuple(self._opened.values())

    def stored(self, file_name: str, offset: int, code: str, shape: tuple[int, ...]) -> Stored:
        """Return the elements of a record.

        Args:
            file_name: As the model names the file.
            offset: Where the header of the record is.
            code: Element type, as the model tells it.
            shape: Shape, as the model tells it.

        Raises:
            LoadError: If the file is not in the folder of the model, or there is no such record.
        """
        file = self._open(file_name)
        sentinel, number, size, start = _RECORD.unpack(
            file.read(*_bounded(file, offset, _RECORD_BYTES))[: _RECORD.size]
        )
        if sentinel != _SENTINEL:
            raise LoadError(file.name, "there is no record of weights here", offset)
        if _CODES.get(number) != code:
            reason = f"the record here holds {_CODES.get(number, f'type {number}')} and the model says {code}"
            raise LoadError(file.name, reason, offset)
        found = Stored(file, start, code, shape)
        if size != found.nbytes:
            reason = f"the record here holds {size:,} bytes, which does not fit {code}, shape {list(shape)}"
            raise LoadError(file.name, reason, offset)
        if start + size > file.size:
            missing = start + size - file.size
            raise LoadError(file.name, f"the file ends here, {missing:,} bytes too early for a record", file.size)
        return found

    def _open(self, file_name: str) -> DataFile:
        if file_name not in self._opened:
            relative = file_name.removeprefix(_MODEL_PATH)
            try:
                file = self._files.enter_context(self._folder.child(relative).open())
            except LoadError as error:
                raise LoadError(error.path, f"{error.reason}; {self._name} names it", error.offset) from error
            _, version = _HEADER.unpack(file.read(*_bounded(file, 0, _HEADER.size)))
            if version != _VERSION:
                raise LoadError(file.name, f"is no file of weights of version {_VERSION}, but says {version}", 4)
            self._opened[file_name] = file
        return self._opened[file_name]


def _bounded(file: DataFile, offset: int, count: int) -> tuple[int, int]:
    if offset + count > file.size:
        raise LoadError(
            file.name, f"the file ends here, and a header of {count} bytes should be at {offset:,}", file.size
        )
    return offset, count
