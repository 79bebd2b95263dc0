"""Fixtures: the tensors of a safetensors file as they lie in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from diffai_core.plugin import DataFile, FileTensor, dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DTYPES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "U8": "uint8",
    "I8": "int8",
    "I32": "int32",
    "I64": "int64",
    "U32": "uint32",
}


@pytest.fixture
def stored() -> Iterator[Callable[[Path], dict[str, FileTensor]]]:
    """Return the tensors of a safetensors file."""
    files: list[DataFile] = []

    def open_file(path: Path) -> dict[str, FileTensor]:
        file = DataFile(path)
        files.append(file)
        n_header = int.from_bytes(file.read(0, 8), "little")
        header = json.loads(file.read(8, n_header))
        header.pop("__metadata__", None)
        return {
            name: FileTensor(
                name=name,
                shape=tuple(entry["shape"]),
                dtype=dtype(_DTYPES[entry["dtype"]]),
                file=file,
                offset=8 + n_header + entry["data_offsets"][0],
            )
            for name, entry in header.items()
        }

    yield open_file
    for file in files:
        file.close()
