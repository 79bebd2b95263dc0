"""Opens ``.npy`` files and ``.npz`` archives."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from diffai_lib_numpy.arrays import Contents, add_array, digest_of
from diffai_lib_numpy.header import MAGIC
from diffai_lib_zip.directory import MAX_MEMBERS, read_directory
from diffai_lib_zip.payload import MemberPayload, Payload, Region

from diffai_core.plugin import Artifact, LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffai_lib_numpy.header import Header

    from diffai_core.plugin import DataFile, Source

KEY = "array"
"""Key of the array in a ``.npy`` file, whatever the file is called, so that two files compare."""

COMMENT = "/zip comment"
"""Key of the comment on a whole archive, if it has one."""

_SUFFIX = ".npy"


def open_npy(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a ``.npy`` file: one array, or several saved one after the other.

    Args:
        source: The file.

    Returns:
        Tensors under ``array``, ``array[1]`` …, and ``array.FIELD`` for each field of records; arrays of Python
        objects in the tree, arrays inside of them under their dotted path.

    Raises:
        LoadError: If it is damaged.
    """
    return _open(source, "npy", _read_arrays)


def open_npz(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a ``.npz`` file: a zip archive of ``.npy`` files, stored or deflated.

    Args:
        source: The file.

    Returns:
        Tensors under the names of the members without ``.npy``; in the tree, arrays of Python objects,
        and size and digest of members that are no arrays.

    Raises:
        LoadError: If the archive or one of its headers is damaged; damaged data are found when they are read.
    """
    return _open(source, "npz", _read_archive)


def _open(source: Source, name: str, read: Callable[[DataFile], Contents]) -> Artifact:
    with ExitStack() as stack:
        file = stack.enter_context(source.open())
        contents = read(file)
        stack.pop_all()
    return Artifact(
        name=source.name,
        format=name,
        tensors=contents.tensors,
        tree=contents.tree,
        files=(file,),
        foreign=tuple(contents.foreign),
        not_readable=tuple(contents.not_readable),
    )


def _read_arrays(file: DataFile) -> Contents:
    contents = Contents()
    place = add_array(contents, KEY, _rest(file, 0), exact=False, add_objects=_add_objects)
    number = 1
    while place < file.size:
        if number == MAX_MEMBERS or file.read(place, min(len(MAGIC), file.size - place)) != MAGIC:
            raise LoadError(file.name, f"{file.size - place:,} bytes follow the array, and they are no array", place)
        place += add_array(contents, f"{KEY}[{number}]", _rest(file, place), exact=False, add_objects=_add_objects)
        number += 1
    return contents


def _add_objects(contents: Contents, key: str, payload: Payload, header: Header) -> int:
    from diffai_load_numpy.objects import add_objects  # few files hold objects

    return add_objects(contents, key, payload, header)


def _rest(file: DataFile, start: int) -> Region:
    return Region(file, start, file.size - start)


def _read_archive(file: DataFile) -> Contents:
    contents = Contents()
    directory = read_directory(file)
    for member in directory.members:
        payload = MemberPayload(file, member)
        key = member.name.removesuffix(_SUFFIX)
        if member.name.endswith(_SUFFIX) or _is_array(payload):
            add_array(contents, key, payload, exact=True, add_objects=_add_objects)
        else:
            contents.add(key, digest_of(payload), payload)
    if directory.comment:
        place = file.size - len(directory.comment)
        contents.add(COMMENT, directory.comment, Region(file, place, len(directory.comment)))
    return contents


def _is_array(payload: Payload) -> bool:
    """Whether a member of another name is an array nevertheless; NumPy looks at the content too."""
    return payload.size >= len(MAGIC) and payload.reader().read(0, len(MAGIC)) == MAGIC
