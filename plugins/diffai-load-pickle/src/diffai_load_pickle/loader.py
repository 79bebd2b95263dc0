"""Opens pickles: plain, as joblib writes them, and compressed."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from diffai_lib_numpy.arrays import Contents
from diffai_lib_pickle import BytesSource, FileSource, Source, Span
from diffai_lib_zip import Held, Region

from diffai_core.plugin import Artifact, Foreign, LoadError, NotCompared
from diffai_load_pickle.gathering import gather
from diffai_load_pickle.methods import method_of
from diffai_load_pickle.names import is_data
from diffai_load_pickle.packed import PackedFile, PackedPayload, PackedSource
from diffai_load_pickle.rules import Joblib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_pickle.arrays import ArrayValue
    from diffai_lib_zip import Payload

    from diffai_core.plugin import DataFile
    from diffai_core.plugin import Source as FileOrFolder

MAX_HELD = 16 << 20
"""Decompressed bytes that are held in memory; more are decompressed again when they are needed."""
MAX_PICKLES = 10_000
"""Most pickles in one file."""

_PIECE = 1 << 20
_HEAD = 32


def open_pickle(source: FileOrFolder, _options: Mapping[str, Any]) -> Artifact:
    """Open a file of one or more pickles, compressed or not; nothing that they name is imported or called.

    Returns:
        Arrays as tensors by dotted path; everything else in the tree. What follows the first pickle stands under
        ``[1]``, ``[2]`` …

    Raises:
        LoadError: If it is damaged, or larger than what is read.
    """
    with ExitStack() as stack:
        file = stack.enter_context(source.open())
        artifact = _opened(source, file)
        stack.pop_all()
    return artifact


def _opened(name: FileOrFolder, file: DataFile) -> Artifact:
    method = method_of(file.read(0, min(file.size, _HEAD)))
    packed = None if method is None else PackedFile(file, method)
    source = FileSource(file, 0, file.size) if packed is None else _unpacked(packed)
    joblib, contents = Joblib(source), Contents()
    place, number = 0, 0
    while not number or (place < source.size and number < MAX_PICKLES and _is_pickle(source, place)):
        found = joblib.load(place)
        payload_of = partial(_payload, file, packed, source)
        gather(contents, found.value, source, payload_of, f"[{number}]" if number else "")
        place, number = found.end, number + 1
    if place < source.size:
        reason = f"{source.size - place:,} bytes follow the last pickle, and they are no pickle"
        contents.not_readable.append(NotCompared("", reason))
    return Artifact(
        name=name.name,
        format="pickle",
        tensors=contents.tensors,
        tree=contents.tree,
        files=(file,),
        foreign=tuple(
            Foreign(name.path, file.name, source.offset(position))
            for name, position in joblib.globals.items()
            if not is_data(name)
        ),
        not_readable=tuple(contents.not_readable),
    )


def _is_pickle(source: Source, place: int) -> bool:
    """Whether a pickle of a binary protocol follows another."""
    return source.size - place > 2 and source.read(place, 1) == b"\x80"  # noqa: PLR2004 - version and end


def _unpacked(packed: PackedFile) -> Source:
    """Return the decompressed bytes: in memory if they are few. All of them are read once, to know how many."""
    stream = packed.at(0)
    pieces: list[bytes] = []
    while piece := stream.read(_PIECE):
        if stream.position <= MAX_HELD:
            pieces.append(piece)
    if stream.position > MAX_HELD:
        return PackedSource(packed, stream.position)
    return BytesSource(b"".join(pieces), packed.file.name, packed.method.skip, is_packed=True)


def _payload(file: DataFile, packed: PackedFile | None, source: Source, array: ArrayValue) -> Payload:
    """Return where the bytes of an array are."""
    if isinstance(array.data, bytes):
        return Held(file, array.data, array.position)
    if not isinstance(array.data, Span):
        raise LoadError(file.name, "an array has no bytes", 0)
    position, length = array.data.position, array.data.length
    if packed is None:
        return Region(file, position, length)
    if isinstance(source, BytesSource):
        return Held(file, source.read(position, length), position)
    return PackedPayload(packed, position, length)
