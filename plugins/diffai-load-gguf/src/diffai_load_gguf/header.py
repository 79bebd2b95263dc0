"""The header of a GGUF file: version, key-value pairs and descriptions of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_core.plugin import LoadError
from diffai_load_gguf.cursor import Cursor, shown
from diffai_load_gguf.metadata import UINT32, MetadataReader

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

MAGIC = b"GGUF"
MAX_TENSORS = 1_000_000
MAX_DIMENSIONS = 16
"""Those of ggml have four; other writers have put more into files."""
DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = "general.alignment"
_NEWEST_VERSION = 3
_OLDER = {b"lmgg": "ggml", b"fmgg": "GGMF", b"tjgg": "GGJT", b"algg": "GGLA (a LoRA adapter)"}


class TensorInfo(NamedTuple):
    """What a file says about a tensor.

    Args:
        name: Its name.
        shape: Length of each dimension, the one that changes fastest last.
        kind: Number of its type.
        offset: First byte of its elements, from the start of the data.
        place: Byte of the file at which this description begins.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    place: int


class Header(NamedTuple):
    """What a file says about itself.

    Args:
        pairs: The key-value pairs.
        infos: The tensors, in the order of the file.
        alignment: Every tensor begins at a multiple of this.
        data_start: Byte of the file at which the data begins.
        big_endian: Whether numbers begin with their high byte.
    """

    pairs: dict[str, Any]
    infos: list[TensorInfo]
    alignment: int
    data_start: int
    big_endian: bool


def read_header(file: DataFile) -> Header:
    """Read and check the header of ``file``.

    Raises:
        LoadError: If anything in it breaks the format, or does not fit the size of the file.
    """
    version, big_endian = _version(file)
    cursor = Cursor(file, len(MAGIC) + 4, big_endian=big_endian, wide=version > 1)
    place = cursor.position
    n_tensors, n_pairs = cursor.length(), cursor.length()
    smallest = cursor.length_bytes + 4 + 4 + 8
    if n_tensors > min(MAX_TENSORS, cursor.remaining // smallest):
        raise cursor.error(f"{n_tensors:,} tensors are announced, more than fit", place)
    metadata = MetadataReader(cursor)
    metadata.read(n_pairs)
    alignment = _alignment(metadata, cursor)
    infos = _infos(cursor, n_tensors)
    data_start = -(-cursor.position // alignment) * alignment
    return Header(metadata.pairs, infos, alignment, data_start, big_endian)


def _version(file: DataFile) -> tuple[int, bool]:
    start = file.read(0, min(file.size, len(MAGIC) + 4))
    magic = start[: len(MAGIC)]
    if magic in _OLDER:
        reason = f"the {_OLDER[magic]} format that came before GGUF; convert it to GGUF with the tools of its time"
        raise LoadError(file.name, reason, 0)
    if magic != MAGIC:
        raise LoadError(file.name, "not GGUF: it does not begin with 'GGUF'", 0)
    if len(start) < len(MAGIC) + 4:
        raise LoadError(file.name, "the file ends before its version", file.size)
    version = int.from_bytes(start[len(MAGIC) :], "little")
    big_endian = version & 0xFFFF == 0
    if big_endian:
        version = int.from_bytes(start[len(MAGIC) :], "big")
    if not 1 <= version <= _NEWEST_VERSION:
        reason = f"GGUF version {version}; versions 1 to {_NEWEST_VERSION} are read"
        raise LoadError(file.name, reason, len(MAGIC))
    return version, big_endian


def _alignment(metadata: MetadataReader, cursor: Cursor) -> int:
    alignment = metadata.pairs.get(_ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    if _ALIGNMENT_KEY not in metadata.pairs:
        return DEFAULT_ALIGNMENT
    place = metadata.places[_ALIGNMENT_KEY]
    if metadata.types[_ALIGNMENT_KEY] != UINT32:
        raise cursor.error(f"{_ALIGNMENT_KEY} is no unsigned number of 32 bits", place)
    if alignment == 0 or alignment & (alignment - 1):
        raise cursor.error(f"{_ALIGNMENT_KEY} is {alignment}, which is no power of two", place)
    return int(alignment)


def _infos(cursor: Cursor, count: int) -> list[TensorInfo]:
    infos: dict[str, TensorInfo] = {}
    for _ in range(count):
        place = cursor.position
        name = cursor.text()
        if not isinstance(name, str):
            raise cursor.error(f"the name {shown(name)} of a tensor is not UTF-8", place)
        if name in infos:
            raise cursor.error(f"tensor {shown(name)} is there twice", place)
        n_dims = cursor.number("I")
        if n_dims > MAX_DIMENSIONS:
            raise cursor.error(f"tensor {shown(name)} has {n_dims:,} dimensions, more than {MAX_DIMENSIONS}", place)
        shape = tuple([cursor.length() for _ in range(n_dims)][::-1])
        infos[name] = TensorInfo(name, shape, cursor.number("I"), cursor.number("Q"), place)
    return list(infos.values())
