"""Fixtures: open a path with the loader, write a file by hand."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from diffai_load_gguf.loader import open_gguf

from diffai_core.plugin import Artifact, LoadError, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_CODES = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


class Handmade:
    """Bytes of a GGUF file, put together field by field.

    Args:
        version: Version of the format.
        order: ``<`` or ``>``.
    """

    def __init__(self, version: int = 3, order: str = "<") -> None:
        self.version, self.order = version, order
        self._length = "I" if version == 1 else "Q"
        self._pairs: list[bytes] = []
        self._infos: list[bytes] = []
        self.n_pairs: int | None = None
        self.n_tensors: int | None = None

    def pack(self, code: str, *values: Any) -> bytes:
        """Return numbers in the order of the file."""
        return struct.pack(self.order + code, *values)

    def text(self, value: str | bytes) -> bytes:
        """Return a string with its length."""
        raw = value.encode() if isinstance(value, str) else value
        return self.pack(self._length, len(raw)) + raw

    def value(self, kind: int, value: Any, of: int | None = None) -> bytes:
        """Return a value; ``of`` is the type of the elements of a list."""
        if kind == STRING:
            return self.text(value)
        if kind == ARRAY:
            assert of is not None
            head = self.pack("I", of) + self.pack(self._length, len(value))
            inner = U32 if of == ARRAY else None
            return head + b"".join(self.value(of, item, inner) for item in value)
        return self.pack(_CODES[kind], value)

    def pair(self, key: str | bytes, kind: int, value: Any, of: int | None = None) -> Handmade:
        """Add a key-value pair."""
        self._pairs.append(self.text(key) + self.pack("I", kind) + self.value(kind, value, of))
        return self

    def raw_pair(self, raw: bytes) -> Handmade:
        """Add bytes where a pair should stand."""
        self._pairs.append(raw)
        return self

    def tensor(self, name: str | bytes, dims: Sequence[int], kind: int, offset: int = 0) -> Handmade:
        """Add the description of a tensor; ``dims`` as in the file, the fastest first."""
        counts = b"".join(self.pack(self._length, length) for length in dims)
        self._infos.append(
            self.text(name) + self.pack("I", len(dims)) + counts + self.pack("I", kind) + self.pack("Q", offset)
        )
        return self

    def build(self, data: bytes = b"", alignment: int = 32) -> bytes:
        """Return the file."""
        n_tensors = len(self._infos) if self.n_tensors is None else self.n_tensors
        n_pairs = len(self._pairs) if self.n_pairs is None else self.n_pairs
        head = b"GGUF" + self.pack("I", self.version) + self.pack(self._length * 2, n_tensors, n_pairs)
        head += b"".join(self._pairs) + b"".join(self._infos)
        return head + b"\0" * (-len(head) % alignment) + data


def _open(path: Path) -> Artifact:
    return open_gguf(Source(path), {})


@pytest.fixture(scope="session")
def open_path() -> Callable[[Path], Artifact]:
    """Open a path with the loader; the caller closes."""
    return _open


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[bytes], LoadError]:
    """Open bytes that must be refused, and return the error."""

    def refuse(data: bytes) -> LoadError:
        path = tmp_path / "x.gguf"
        path.write_bytes(data)
        with pytest.raises(LoadError) as caught:
            _open(path).close()
        return caught.value

    return refuse


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], Artifact]:
    """Open bytes."""

    def open_bytes(data: bytes) -> Artifact:
        path = tmp_path / "x.gguf"
        path.write_bytes(data)
        return _open(path)

    return open_bytes


@pytest.fixture(scope="session")
def handmade() -> type[Handmade]:
    """Bytes of a file, put together field by field."""
    return Handmade
