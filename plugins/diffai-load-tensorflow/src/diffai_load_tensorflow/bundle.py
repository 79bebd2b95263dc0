"""The index of a checkpoint: which tensors it holds, and where in its data files they lie."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_protobuf import Message

from diffai_core.plugin import LoadError, shown
from diffai_load_tensorflow.slices import Slice, slice_key
from diffai_load_tensorflow.table import read_table
from diffai_load_tensorflow.types import full_shape, read_shape

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile
    from diffai_load_tensorflow.table import Entry

MAX_SHARDS = 100_000
_NUM_SHARDS, _ENDIANNESS = 1, 2
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CHECKSUM, _SLICES = range(1, 8)


class Piece(NamedTuple):
    """A tensor, or a slice of one, in a data file.

    Args:
        type: Number of its element type.
        shape: Length of each dimension.
        shard: Number of the data file.
        offset: Its first byte there.
        size: Its bytes.
        checksum: Masked CRC-32C of them.
        slices: Where the parts of the tensor go that have keys of their own; empty if it lies here.
        place: Where in the index it is described.
    """

    type: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    slices: tuple[Slice, ...]
    place: int


class Bundle(NamedTuple):
    """An index.

    Args:
        pieces: Tensors by name, in the order of the file.
        parts: The slices of partitioned tensors: by name, in the order of ``Piece.slices``.
        n_shards: Number of data files.
        is_big_endian: Whether elements are stored with their highest byte first.
    """

    pieces: dict[str, Piece]
    parts: dict[str, tuple[Piece, ...]]
    n_shards: int
    is_big_endian: bool


def read_bundle(file: DataFile) -> Bundle:
    """Read the index of a checkpoint.

    Raises:
        LoadError: If it is damaged, or describes tensors that cannot be.
    """
    entries = read_table(file)
    header = next(entries, None)
    if header is None or header.key:
        raise LoadError(file.name, "the index of the checkpoint has no header", 0)
    numbers = {field.number: field for field in _message(file, header).fields()}
    n_shards = numbers[_NUM_SHARDS].unsigned() if _NUM_SHARDS in numbers else 0
    if n_shards > MAX_SHARDS:
        raise numbers[_NUM_SHARDS].error(f"a checkpoint of {n_shards:,} data files; at most {MAX_SHARDS:,} are read")
    is_big = _ENDIANNESS in numbers and numbers[_ENDIANNESS].unsigned() == 1
    pieces: dict[str, Piece] = {}
    slices: dict[bytes, Piece] = {}
    shapes: dict[bytes, tuple[int, ...]] = {}  # a model repeats its layers
    for entry in entries:
        piece = _piece(_message(file, entry), entry.offset, shapes)
        if entry.key.startswith(b"\0"):
            slices[entry.key] = piece
        else:
            pieces[_name(file, entry)] = piece
    parts = _parts(file, pieces, slices)
    _check_overlaps(file, pieces, parts)
    return Bundle(pieces, parts, n_shards, is_big)


def _message(file: DataFile, entry: Entry) -> Message:
    return Message.in_memory(entry.value, file.name, entry.offset)


def _name(file: DataFile, entry: Entry) -> str:
    try:
        return entry.key.decode()
    except UnicodeDecodeError as error:
        raise LoadError(file.name, "the name of a tensor is not UTF-8", entry.offset) from error


def _piece(message: Message, place: int, shapes: dict[bytes, tuple[int, ...]]) -> Piece:
    numbers = {}
    shape = None
    slices = []
    for field in message.fields():
        if field.number == _SHAPE:
            shape = field.message()
        elif field.number == _SLICES:
            slices.append(field.message())
        elif field.number <= _CHECKSUM:
            numbers[field.number] = field.value if field.number == _CHECKSUM else field.signed()
    raw = shape.source.read(shape.start, shape.end - shape.start) if shape else b""
    lengths = shapes.get(raw)
    if lengths is None:
        lengths = shapes[raw] = full_shape(message, read_shape(shape))
    if min(numbers.values(), default=0) < 0:
        raise message.error("a tensor has a negative place or size")
    return Piece(
        type=numbers.get(_DTYPE, 0),
        shape=lengths,
        shard=numbers.get(_SHARD, 0),
        offset=numbers.get(_OFFSET, 0),
        size=numbers.get(_SIZE, 0),
        checksum=numbers.get(_CHECKSUM, 0),
        slices=tuple(_slice(part, lengths) for part in slices),
        place=place,
    )


def _slice(message: Message, shape: tuple[int, ...]) -> Slice:
    """Return which part of a tensor a slice is."""
    extents = [field.message() for field in message.fields() if field.number == 1]
    if len(extents) != len(shape):
        raise message.error(f"a slice has {len(extents)} dimensions, and its tensor {len(shape)}")
    starts, lengths, raw = [], [], []
    for extent, full in zip(extents, shape, strict=True):
        numbers = {field.number: field.signed() for field in extent.fields()}
        start, length = numbers.get(1, 0), numbers.get(2, full)
        if start < 0 or length < 0 or start + length > full:
            raise extent.error(f"a slice from {start:,} of length {length:,} leaves a dimension of length {full:,}")
        starts.append(start)
        lengths.append(length)
        raw.append((start, numbers.get(2, -1)))
    return Slice(tuple(starts), tuple(lengths), tuple(raw))


def _parts(file: DataFile, pieces: dict[str, Piece], slices: dict[bytes, Piece]) -> dict[str, tuple[Piece, ...]]:
    """Find the slices of partitioned tensors; each belongs to exactly one."""
    parts: dict[str, tuple[Piece, ...]] = {}
    for name, piece in pieces.items():
        if piece.slices:
            parts[name] = tuple(_part(file, name, piece, part, slices) for part in piece.slices)
    if slices:
        place = min(piece.place for piece in slices.values())
        raise LoadError(file.name, f"{len(slices):,} slices belong to no tensor", place)
    return parts


def _check_overlaps(file: DataFile, pieces: dict[str, Piece], parts: dict[str, tuple[Piece, ...]]) -> None:
    """Make sure that no two tensors share bytes."""
    stored = [piece for piece in pieces.values() if not piece.slices]
    stored += [part for held in parts.values() for part in held]
    stored.sort(key=lambda piece: (piece.shard, piece.offset, piece.size))
    for before, piece in pairwise(stored):
        if piece.shard == before.shard and piece.offset < before.offset + before.size:
            raise LoadError(file.name, "a tensor lies in the bytes of another one", piece.place)


def _part(file: DataFile, name: str, piece: Piece, part: Slice, slices: dict[bytes, Piece]) -> Piece:
    found = slices.pop(slice_key(name, part), None)
    if found is None or found.slices:
        raise LoadError(file.name, f"a slice of tensor {shown(name)} is not there", piece.place)
    if (found.type, found.shape) != (piece.type, part.lengths):
        raise LoadError(file.name, f"a slice of tensor {shown(name)} has another shape or type", found.place)
    return found
