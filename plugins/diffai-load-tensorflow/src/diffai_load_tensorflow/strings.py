"""Tensors of texts in a checkpoint: the length of each, a checksum of the lengths, and the texts."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import LoadError, shown
from diffai_load_tensorflow.crc32c import crc32c, unmasked

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile
    from diffai_load_tensorflow.bundle import Piece

MAX_BYTES, MAX_TEXTS = 16 << 20, 1 << 20
"""Largest tensor of texts that is read; of larger ones there is a digest."""
_PIECE_BYTES = 1 << 20
_MAX_CHECKED = 1 << 20
_LARGEST_SHORT, _LARGEST = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def read_strings(file: DataFile, name: str, piece: Piece) -> list[bytes]:
    """Return the texts of a tensor.

    Raises:
        LoadError: If there are more or fewer than its shape needs, or a checksum is wrong.
    """
    count = 1
    for length in piece.shape:
        count *= length
    if count > piece.size:
        reason = f"tensor {shown(name)} has {count:,} texts in {piece.size:,} bytes, which is not possible"
        raise LoadError(file.name, reason, piece.offset)
    data = file.read(piece.offset, piece.size)
    lengths, place = _lengths(file, name, piece, data, count)
    packed = b"".join(struct.pack("<I" if n <= _LARGEST_SHORT else "<Q", n) for n in lengths)
    checksum = crc32c(packed)
    if unmasked(int.from_bytes(data[place : place + 4], "little")) != checksum:
        raise LoadError(file.name, f"the lengths of the texts of tensor {shown(name)} are damaged", piece.offset)
    if sum(lengths) != piece.size - place - 4:
        raise LoadError(file.name, f"the texts of tensor {shown(name)} do not fill its bytes", piece.offset)
    if piece.size <= _MAX_CHECKED and crc32c(data[place:], checksum) != unmasked(piece.checksum):
        raise LoadError(file.name, f"the checksum of tensor {shown(name)} is wrong; it is damaged", piece.offset)
    place += 4
    texts = []
    for length in lengths:
        texts.append(data[place : place + length])
        place += length
    return texts


def is_large(piece: Piece) -> bool:
    """Whether a tensor of texts is too large to be read."""
    count = 1
    for length in piece.shape:
        count *= length
    return piece.size > MAX_BYTES or MAX_TEXTS < count <= piece.size


def digest(file: DataFile, piece: Piece) -> dict[str, Any]:
    """Return what stands for a tensor of texts that is too large to be read: shape, bytes and their digest."""
    found = hashlib.blake2b(digest_size=32)
    for start in range(0, piece.size, _PIECE_BYTES):
        found.update(file.read(piece.offset + start, min(_PIECE_BYTES, piece.size - start)))
    return {"shape": list(piece.shape), "bytes": piece.size, "blake2b": found.hexdigest()}


def _lengths(file: DataFile, name: str, piece: Piece, data: bytes, count: int) -> tuple[list[int], int]:
    lengths = []
    place = 0
    for _ in range(count):
        value = shift = 0
        while True:
            if place >= len(data) or shift > 63:  # noqa: PLR2004 - bits of the largest length
                reason = f"the lengths of the texts of tensor {shown(name)} do not end"
                raise LoadError(file.name, reason, piece.offset + place)
            byte = data[place]
            value |= (byte & 127) << shift
            shift += 7
            place += 1
            if byte < 128:  # noqa: PLR2004 - the last byte of a number
                break
        if value > _LARGEST:
            reason = f"a length of the texts of tensor {shown(name)} has more than 64 bits"
            raise LoadError(file.name, reason, piece.offset + place)
        lengths.append(value)
    return lengths, place
