"""Opens what ``flax.serialization`` writes: msgpack with arrays as extensions."""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import (
    DTYPE_NAMES,
    Artifact,
    BlockTensor,
    DType,
    FileTensor,
    LoadError,
    block_length,
    dtype,
    opaque_dtype,
)
from diffai_load_jax.msgpack import Bytes, Extension, Map, Walker
from diffai_load_jax.roles import role_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import DataFile, Source, TensorRef

ROOT_KEY = "$"
"""Name of a document that is a single array or value."""

_NDARRAY, _COMPLEX, _SCALAR = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
_MAX_BYTES_SHOWN = 1 << 20
_MAX_RANK = 64
_RAW = re.compile(r"(?:void|V)([0-9]{1,6})")
_BYTE = 8


class _Array(NamedTuple):
    """An array: dtype, shape, where its elements are."""

    dtype: DType
    shape: tuple[int, ...]
    start: int


def open_flax(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a Flax msgpack file.

    Args:
        source: The file.

    Returns:
        Arrays as tensors under their dotted path; everything else in the tree.

    Raises:
        LoadError: If it is damaged, or no msgpack.
    """
    with ExitStack() as stack:
        file = stack.enter_context(source.open())
        contents = _Contents(file)
        contents.read()
        stack.pop_all()
    return Artifact(name=source.name, format="flax", tensors=contents.tensors, tree=contents.tree, files=(file,))


class _Contents:
    def __init__(self, file: DataFile) -> None:
        self.tensors: dict[str, TensorRef] = {}
        self.tree: dict[str, Any] = {}
        self._file = file

    def read(self) -> None:
        """Walk the whole document.

        Raises:
            LoadError: If it is damaged.
        """
        walker = Walker(self._file, 0, self._file.size)
        root = walker.value()
        if walker.position < self._file.size:
            raise walker.error(f"{self._file.size - walker.position:,} bytes follow the document")
        if isinstance(root, Map) and _CHUNKED not in root.items:
            self.tree = self._plain("", root) or {}
            return
        plain = self._plain(ROOT_KEY, root)
        if plain is not None:
            self.tree[ROOT_KEY] = plain

    def _plain(self, name: str, value: Any) -> Any:
        """Return what stands in the tree for a value, after adding its tensors; ``None`` if it is a tensor."""
        if isinstance(value, Map):
            return self._map(name, value.items)
        if isinstance(value, list):
            items = [self._plain(_inside(name, str(number)), item) for number, item in enumerate(value)]
            return items if any(item is not None for item in items) or not items else None
        if isinstance(value, Bytes):
            return self._bytes(value)
        return self._extension(name, value) if isinstance(value, Extension) else value

    def _map(self, name: str, items: dict[str, Any]) -> Any:
        if _CHUNKED in items:
            self._add(name, self._chunked(name, items))
            return None
        found: dict[str, Any] = {}
        for key, value in items.items():
            plain = self._plain(_inside(name, key), value)
            if plain is not None or value is None:
                found[key] = plain
        return found if found or not items else None

    def _bytes(self, value: Bytes) -> bytes:
        if value.size > _MAX_BYTES_SHOWN:
            reason = f"{value.size:,} bytes that are no array; at most {_MAX_BYTES_SHOWN:,} are read"
            raise LoadError(self._file.name, reason, value.start)
        return self._file.read(value.start, value.size)

    def _extension(self, name: str, value: Extension) -> Any:
        if value.kind in {_NDARRAY, _SCALAR}:
            self._add(name, self._tensor(name, self._array(value)))
            return None
        if value.kind == _COMPLEX:
            parts = Walker(self._file, value.start, value.start + value.size).value()
            if isinstance(parts, list) and len(parts) == 2 and all(type(part) in {int, float} for part in parts):  # noqa: PLR2004 - two parts
                return {"real": parts[0], "imag": parts[1]}
        raise LoadError(self._file.name, f"an extension of type {value.kind}, which Flax does not write", value.start)

    def _add(self, name: str, ref: TensorRef) -> None:
        if name in self.tensors:
            raise LoadError(self._file.name, f"two arrays have the name {name[:100]!r}")
        self.tensors[name] = ref

    def _array(self, value: Extension) -> _Array:
        """Read what an array says of itself: shape, dtype, bytes.

        Raises:
            LoadError: If they do not fit together.
        """
        walker = Walker(self._file, value.start, value.start + value.size)
        parts = walker.value()
        complete = isinstance(parts, list) and len(parts) == 3 and isinstance(parts[2], Bytes)  # noqa: PLR2004 - as above
        if not complete or walker.position != value.start + value.size:
            raise walker.error("an array that is not a shape, a dtype and bytes", value.start)
        shape = self._shape(parts[0], value.start)
        found = self._dtype(parts[1], value.start)
        wanted = math.prod(shape) * max(found.bits, _BYTE) // _BYTE
        if parts[2].size != wanted:
            reason = f"an array of shape {shape} and dtype {found} in {parts[2].size:,} bytes instead of {wanted:,}"
            raise walker.error(reason, parts[2].start)
        return _Array(found, shape, parts[2].start)

    def _shape(self, value: Any, at: int) -> tuple[int, ...]:
        lengths = value if isinstance(value, list) and len(value) <= _MAX_RANK else [None]
        if not all(type(length) is int and 0 <= length < 1 << 63 for length in lengths):
            raise LoadError(self._file.name, "an array whose shape is not a list of lengths", at)
        return tuple(lengths)

    def _dtype(self, value: Any, at: int) -> DType:
        name = self._bytes(value).decode("latin-1") if isinstance(value, Bytes) else value
        raw = _RAW.fullmatch(name) if isinstance(name, str) else None
        if raw and int(raw[1]):
            size = int(raw[1]) // _BYTE if name.startswith("void") else int(raw[1])
            return opaque_dtype(f"void[{size}]", size)
        if name not in DTYPE_NAMES:
            raise LoadError(self._file.name, f"an array of dtype {str(name)[:100]!r}, which is not known", at)
        return dtype(name)

    def _tensor(self, name: str, array: _Array) -> TensorRef:
        role = role_of(name)
        if array.dtype.bits >= _BYTE:
            return FileTensor(
                name=name, shape=array.shape, dtype=array.dtype, role=role, file=self._file, offset=array.start
            )
        return BlockTensor(
            name=name,
            shape=array.shape,
            dtype=array.dtype,
            role=role,
            open_blocks=partial(_unpacked, self._file, array),
            shared_storage=(self._file.path, array.start),
        )

    def _chunked(self, name: str, items: dict[str, Any]) -> TensorRef:
        """Return an array that was cut because it is longer than msgpack allows."""
        lengths, pieces = items.get("shape"), items.get("chunks")
        lengths = list(lengths.items.values()) if isinstance(lengths, Map) else lengths
        pieces = list(pieces.items.values()) if isinstance(pieces, Map) else pieces
        if not isinstance(pieces, list) or not all(isinstance(p, Extension) and p.kind == _NDARRAY for p in pieces):
            raise LoadError(self._file.name, f"the pieces of {name[:100]!r} are no arrays")
        arrays = [self._array(piece) for piece in pieces]
        shape = self._shape(lengths, pieces[0].start if pieces else 0)
        types = {array.dtype for array in arrays}
        if len(types) != 1 or sum(math.prod(array.shape) for array in arrays) != math.prod(shape):
            raise LoadError(self._file.name, f"the pieces of {name[:100]!r} do not make an array of shape {shape}")
        (found,) = types
        parts = tuple(self._tensor(f"{name}.{number}", array) for number, array in enumerate(arrays))
        return BlockTensor(
            name=name,
            shape=shape,
            dtype=found,
            role=role_of(name),
            open_blocks=partial(_joined, parts, shape, found),
            shared_storage=(self._file.path, arrays[0].start),
        )


def _inside(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _unpacked(file: DataFile, array: _Array, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield elements of fewer than 8 bits, of which each takes a byte in the file."""
    import numpy as np

    count = math.prod(array.shape)
    length = block_length(array.shape, array.dtype, max_bytes)
    for first in range(0, count, length):
        raw = file.read(array.start + first, min(length, count - first))
        codes = np.frombuffer(raw, np.uint8) & np.uint8((1 << array.dtype.bits) - 1)
        if array.dtype.kind == "int":
            sign = np.uint8(1 << (array.dtype.bits - 1))
            codes = (codes ^ sign) - sign
        yield codes.view(array.dtype.numpy)


def _joined(
    parts: tuple[TensorRef, ...], shape: tuple[int, ...], found: DType, max_bytes: int
) -> Iterator[NDArray[Any]]:
    from diffai_core.plugin import regroup

    pieces = (block for part in parts for block in part.blocks(1 << 20))
    return regroup(pieces, block_length(shape, found, max_bytes), found)
