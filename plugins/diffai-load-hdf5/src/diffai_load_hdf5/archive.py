"""A ``.keras`` archive: an HDF5 file of weights, JSON beside it, and perhaps assets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from diffai_lib_hdf5 import FileRegion, Region
from diffai_lib_json import parse_json
from diffai_lib_zip import MemberPayload, read_all, read_directory

from diffai_core.plugin import LoadError, Text
from diffai_load_hdf5.contents import add_file

if TYPE_CHECKING:
    from diffai_lib_zip.directory import Member

    from diffai_core.plugin import DataFile
    from diffai_load_hdf5.contents import Contents

WEIGHTS = "model.weights.h5"
CONFIG, METADATA = "config.json", "metadata.json"
MODEL_CONFIG = "model_config"
"""Key of the configuration: the one that Keras' HDF5 files have it under."""

MAX_INFLATED_BYTES = 256 << 20
"""Largest compressed HDF5 member: it is decompressed into memory. Keras itself compresses none."""
MAX_JSON_BYTES = 64 << 20
MAX_CONTAINERS = 1_000_000

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class InflatedRegion(Region):
    """An HDF5 file that lies compressed in an archive; decompressed as a whole when a byte of it is needed.

    Args:
        payload: The member.
        start: First byte of it that belongs to the region.
    """

    payload: MemberPayload
    start: int = 0

    @property
    def file(self) -> DataFile:
        """The archive."""
        return self.payload.file

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.payload.size - self.start

    @cached_property
    def _data(self) -> bytes:
        return read_all(self.payload, MAX_INFLATED_BYTES)

    def __getstate__(self) -> dict[str, Any]:
        return {"payload": self.payload, "start": self.start}

    def file_offset(self, at: int) -> int | None:  # noqa: ARG002 - no byte of it is in the file
        """Return ``None``: no byte lies in the file as it is."""
        return None

    def place(self, at: int) -> int | None:  # noqa: ARG002 - no byte of it is in the file
        """Return where the compressed bytes begin."""
        return self.payload.offset

    def narrowed(self, start: int) -> Region:
        """Return the part from byte ``start`` on."""
        return InflatedRegion(self.payload, self.start + start)

    def read_into(self, at: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from what was decompressed."""
        first = self.start + at
        found = self._data[first : first + len(buffer)]
        if len(found) < len(buffer):
            raise self.error("the compressed HDF5 file ends too early", at)
        buffer[:] = found


def add_archive(contents: Contents, file: DataFile) -> None:
    """Add what is in an archive.

    Raises:
        LoadError: If the archive or a member is damaged, or it is another zip file.
    """
    directory = read_directory(file)
    if not {WEIGHTS, CONFIG, METADATA} & {member.name for member in directory.members}:
        raise LoadError(file.name, f"is no Keras archive: it has neither {CONFIG}, {METADATA} nor {WEIGHTS}", 0)
    documents: dict[str, Any] = {}
    for member in directory.members:
        if member.name.endswith(".h5"):
            prefix = "" if member.name == WEIGHTS else f"{member.name}/"
            add_file(contents, _region(file, member), prefix)
        elif member.name in {CONFIG, METADATA}:
            documents[member.name] = _document(MemberPayload(file, member))
            if member.name == CONFIG:
                contents.config, contents.config_offset = documents[CONFIG], member.start
        elif not member.name.endswith("/"):
            contents.put(member.name, _digest(MemberPayload(file, member)))
    if CONFIG in documents:
        contents.put(MODEL_CONFIG, documents[CONFIG])
    metadata = documents.get(METADATA, {})
    for key, value in metadata.items() if isinstance(metadata, dict) else [(METADATA, metadata)]:
        contents.put(key, value)


def _region(file: DataFile, member: Member) -> Region:
    payload = MemberPayload(file, member)
    if not payload.compressed:
        return FileRegion(file, member.start, member.size)
    if member.size > MAX_INFLATED_BYTES:
        reason = (
            f"is compressed and has {member.size:,} bytes; at most {MAX_INFLATED_BYTES:,} are decompressed;"
            " store it uncompressed (zip -0), as Keras does"
        )
        raise payload.error(reason, 0)
    return InflatedRegion(payload)


def _document(payload: MemberPayload) -> Any:
    raw = read_all(payload, MAX_JSON_BYTES)
    try:
        text = Text(payload.file.name, raw.decode(), "utf-8", 0)
        return parse_json(text, MAX_CONTAINERS)
    except UnicodeDecodeError as error:
        raise payload.error("is not UTF-8", error.start) from error
    except LoadError as error:
        raise payload.error(error.reason, error.offset or 0) from error


def _digest(payload: MemberPayload) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=32)
    reader = payload.reader()
    for place in range(0, payload.size, _PIECE_BYTES):
        digest.update(reader.read(place, min(_PIECE_BYTES, payload.size - place)))
    reader.finish()
    return {"bytes": payload.size, "blake2b": digest.hexdigest()}
