"""Data that lie in other files: found beside the model, never outside of its folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError, Source

if TYPE_CHECKING:
    from diffai_lib_protobuf import Field, Message

    from diffai_core.plugin import DataFile

MAX_FILES = 100_000
"""Most files of external data of one model."""


class ExternalFiles:
    """The files of external data of one model, each opened once.

    Args:
        source: The model.
    """

    def __init__(self, source: Source) -> None:
        self._folder, self._prefix = _root(source)
        self._files: dict[str, DataFile] = {}

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Those that were opened, in order."""
        return tuple(self._files.values())

    def close(self) -> None:
        """Close all of them."""
        for file in self._files.values():
            file.close()

    def open(self, location: str, asked_by: Message) -> DataFile:
        """Return the file at ``location``, relative to the folder of the model.

        Raises:
            LoadError: If it is not there, cannot be opened, or is not inside the folder.
        """
        if location not in self._files:
            if len(self._files) == MAX_FILES:
                raise asked_by.error(f"the data lie in more than {MAX_FILES:,} files")
            self._files[location] = self._opened(location, asked_by)
        return self._files[location]

    def _opened(self, location: str, asked_by: Message) -> DataFile:
        if not location or location.startswith(("/", "\\")):
            raise asked_by.error(f"external data: names the file {location[:200]!r}, which is not inside the folder")
        try:
            return self._folder.child(f"{self._prefix}{location}").open()
        except LoadError as error:
            reason = error.reason if repr(location) in error.reason else f"{location!r}: {error.reason}"
            raise asked_by.error(f"external data: {reason}") from error
        except (OSError, ValueError) as error:  # a name that no file can have
            raise asked_by.error(f"external data: names the file {location[:200]!r}, which cannot be opened") from error


def _root(source: Source) -> tuple[Source, str]:
    """Return the folder that files must not leave, and where in it the model lies.

    That is the folder of the model. In a cache of the Hugging Face Hub all files are links into a folder of blobs,
    which belongs to the whole snapshot.
    """
    folder = source.path.parent
    for above in (folder, *folder.parents):
        if above.parent.name == "snapshots" and (above.parent.parent / "blobs").is_dir():
            inside = folder.relative_to(above).as_posix()
            return Source(above), "" if inside == "." else f"{inside}/"
    return Source(folder, os.fspath(folder)), ""


def external_data(entries: list[Field], owner: Message) -> tuple[str, int, int | None]:
    """Return location, offset and length of external data; no length where none is given.

    Raises:
        LoadError: If an entry is missing or no such thing.
    """
    found: dict[str, str] = {}
    for entry in entries:
        fields = entry.message().by_number(64)
        key = fields[1][-1].text() if 1 in fields else ""
        found[key] = fields[2][-1].text() if 2 in fields else ""  # noqa: PLR2004 - key and value
    if "location" not in found:
        raise owner.error("external data without a location")
    length = _count(found["length"], "length", owner) if "length" in found else None
    return found["location"], _count(found.get("offset", "0"), "offset", owner), length


def _count(text: str, what: str, owner: Message) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004 - what 64 bits hold
        raise owner.error(f"the {what} of external data is {text[:40]!r}, which is no number of bytes")
    return int(text)
