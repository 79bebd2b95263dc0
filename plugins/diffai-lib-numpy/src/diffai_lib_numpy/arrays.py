"""What becomes of an array: lazy tensors, or an entry of the tree where its elements cannot be tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_zip.payload import PIECE_BYTES, Region
from diffai_lib_zip.wording import brief, short

from diffai_core.plugin import BlockTensor, FileTensor, NotCompared, TensorRef, shown
from diffai_lib_numpy.array_bytes import ArrayBytes
from diffai_lib_numpy.header import Header, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diffai_lib_zip.payload import Payload

    AddObjects = Callable[["Contents", str, Payload, Header], int]
    from numpy.typing import NDArray

    from diffai_core.plugin import Foreign
    from diffai_lib_numpy.elements import Field

MAX_ELEMENT_BYTES = 16 << 20
"""Larger elements (long texts, byte strings, records) are compared by digest, so that no block grows with the file."""

MAX_TURNED_BYTES = 512 << 20
"""Largest compressed array in Fortran order: it is decompressed again for every 128 MiB of it."""


@dataclass
class Contents:
    """What a file holds, gathered array by array.

    Args:
        tensors: Tensors by key.
        tree: Entries that are no tensors, by key.
        not_readable: What can be neither.
        foreign: What pickles in the file would import beyond what arrays need.
    """

    tensors: dict[str, TensorRef] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=dict)
    not_readable: list[NotCompared] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)

    def add(self, key: str, value: Any, payload: Payload) -> None:
        """Add a tensor or an entry of the tree.

        Raises:
            LoadError: If there is something under this key already.
        """
        if key in self.tensors or key in self.tree:
            raise payload.error(f"another array has the key {shown(key)} already", 0)
        place: dict[str, Any] = self.tensors if isinstance(value, TensorRef) else self.tree
        place[key] = value


def add_array(
    contents: Contents, key: str, payload: Payload, *, exact: bool, add_objects: AddObjects | None = None
) -> int:
    """Add the array that starts ``payload``; return how many bytes it takes.

    Args:
        contents: Where to add it.
        key: Its key.
        payload: Its bytes, header included.
        exact: Whether nothing may follow it.
        add_objects: Called with the same and the header for an array of Python objects; returns how many bytes it
            takes. Without it such an array is told by its digest.

    Raises:
        LoadError: If it is damaged, or its header does not fit its size.
    """
    reader = payload.reader()
    header = read_header(payload, reader)
    if header.layout.has_objects and add_objects is None:
        contents.add(key, _described(header) | digest_of(payload, header.length), payload)
        return payload.size
    if header.layout.has_objects and add_objects is not None:
        end = add_objects(contents, key, payload, header)
        if exact and end < payload.size:
            raise payload.error(f"{payload.size - end:,} bytes follow the pickle of the array", end)
        return end
    end = header.length + header.nbytes
    if end > payload.size or (exact and end < payload.size):
        held = payload.size - header.length
        what = f"{short(header.layout.name)} of shape {brief(header.shape)}"
        reason = f"{what} takes {header.nbytes:,} bytes, and {held:,} follow"
        raise payload.error(reason, min(end, payload.size))
    if not header.nbytes:
        reader.finish()  # nobody will read it later, and only its checksum vouches for the shape
    add_elements(contents, key, payload, header)
    return end


def add_elements(contents: Contents, key: str, payload: Payload, header: Header) -> None:
    """Add an array whose header is known; its elements begin ``header.length`` bytes into ``payload`` and fill it.

    Raises:
        LoadError: If another array has the key.
    """
    turned = header.fortran_order and sum(length > 1 for length in header.shape) > 1
    if header.layout.size > MAX_ELEMENT_BYTES or not header.layout.size:
        contents.add(key, _described(header) | _storage(header, turned) | digest_of(payload, header.length), payload)
        return
    if turned and header.nbytes > MAX_TURNED_BYTES and payload.compressed:
        reason = f"compressed in Fortran order and larger than {MAX_TURNED_BYTES >> 20:,} MiB; save it in C order"
        contents.not_readable.append(NotCompared(key, reason))
        return
    for part in header.layout.fields:
        name = key + part.path
        if part.element.size:
            contents.add(name, _tensor(name, payload, header, part, turned=turned), payload)
        else:
            words = {"dtype": part.element.dtype.name, "shape": list(header.shape + part.shape), "bytes": 0}
            contents.add(name, words, payload)


def _tensor(name: str, payload: Payload, header: Header, part: Field, *, turned: bool) -> TensorRef:
    shape, dtype = header.shape + part.shape, part.element.dtype
    if isinstance(payload, Region) and not turned and not part.path and not part.element.swap:
        return FileTensor(name=name, shape=shape, dtype=dtype, file=payload.file, offset=payload.start + header.length)
    array = ArrayBytes(payload, header.length, header.shape, header.layout.size, turned)
    return BlockTensor(
        name=name,
        shape=shape,
        dtype=dtype,
        open_blocks=partial(_open_blocks, array, part),
        shared_storage=(payload.file.path, payload.offset, part.path),
    )


def _described(header: Header) -> dict[str, Any]:
    return {"dtype": header.layout.name, "shape": list(header.shape)}


def _storage(header: Header, turned: bool) -> dict[str, Any]:
    """Say in which way the digested bytes are not the usual ones, so that no two meanings share a digest."""
    swapped = any(part.element.swap for part in header.layout.fields)
    return ({"order": "Fortran"} if turned else {}) | ({"byte_order": "big"} if swapped else {})


def _open_blocks(array: ArrayBytes, part: Field, max_bytes: int) -> Iterator[NDArray[Any]]:
    from diffai_lib_numpy.blocks import field_blocks

    return field_blocks(array, part, max_bytes)


def digest_of(payload: Payload, start: int = 0) -> dict[str, Any]:
    """Return size and BLAKE2b digest of the bytes from ``start`` on; what stands for bytes that are no tensor.

    Raises:
        LoadError: If they are damaged.
    """
    import hashlib

    digest = hashlib.blake2b(digest_size=32)
    reader = payload.reader()
    buffer = memoryview(bytearray(PIECE_BYTES))
    for place in range(start, payload.size, PIECE_BYTES):
        piece = buffer[: payload.size - place]
        reader.read_into(place, piece)
        digest.update(piece)
    reader.finish()
    return {"bytes": payload.size - start, "blake2b": digest.hexdigest()}
