"""Where the bytes of a stored value are: in a file, or told outright."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

MAX_DOCUMENT_BYTES = 16 << 20
"""Largest JSON document that is read."""


@dataclass(frozen=True)
class Stored:
    """A value of a store. Picklable.

    Args:
        file: The file that holds it, or that told it.
        start: Offset of the first byte in the file.
        size: Number of bytes.
        inline: The bytes, if they stand decompressed in memory and not in the file as they are.
    """

    file: DataFile
    start: int
    size: int
    inline: bytes | None = None

    def read(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes at ``at``; the caller has bounded ``count``.

        Raises:
            LoadError: If they are not there.
        """
        if at < 0 or count < 0 or at + count > self.size:
            raise self.error(f"bytes {at:,} to {at + count:,} of a value of {self.size:,}")
        return self.file.read(self.start + at, count) if self.inline is None else self.inline[at : at + count]

    def document(self) -> bytes:
        """Return the whole of a small value.

        Raises:
            LoadError: If it is too large.
        """
        if self.size > MAX_DOCUMENT_BYTES:
            raise self.error(f"a document of {self.size:,} bytes; at most {MAX_DOCUMENT_BYTES:,} are read")
        return self.read(0, self.size)

    def part(self, at: int, count: int) -> Stored:
        """Return a part as a value.

        Raises:
            LoadError: If it is outside.
        """
        if at < 0 or at + count > self.size:
            raise self.error(f"bytes {at:,} to {at + count:,} of a value of {self.size:,}")
        if self.inline is not None:
            return replace(self, size=count, inline=self.inline[at : at + count])
        return Stored(self.file, self.start + at, count)

    def error(self, reason: str) -> LoadError:
        """Return the error that places ``reason`` here."""
        return LoadError(self.file.name, reason, self.start)
