"""Text of a file, and the byte at which each character stands."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.errors import LoadError

if TYPE_CHECKING:
    from diffai_core.files import DataFile

_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Text(NamedTuple):
    """Decoded text of a file.

    Args:
        name: The file as the user named it.
        content: The text without byte order mark.
        encoding: How it was encoded.
        n_bom: Bytes of the byte order mark.
    """

    name: str
    content: str
    encoding: str
    n_bom: int

    def error(self, reason: str, position: int) -> LoadError:
        """Return the error that something is wrong at a character of ``content``."""
        offset = self.n_bom + len(self.content[:position].encode(self.encoding))
        return LoadError(self.name, reason, offset)

    def place(self, position: int) -> str:
        """Return line and column of a character, counted from 1."""
        line = self.content.count("\n", 0, position)
        return f"line {line + 1:,}, column {position - self.content.rfind(chr(10), 0, position):,}"


def read_text(file: DataFile, max_bytes: int) -> Text:
    """Return the text of a file: UTF-8, or what its byte order mark says.

    Args:
        file: An open file.
        max_bytes: Largest size that is read.

    Raises:
        LoadError: If it is empty, larger, or not text in its encoding.
    """
    if file.size > max_bytes:
        raise LoadError(file.name, f"has {file.size:,} bytes; more than {max_bytes:,} are not read")
    data = file.read(0, file.size)
    encoding, n_bom = split_bom(data)
    try:
        content = data[n_bom:].decode(encoding)
    except UnicodeDecodeError as error:
        raise LoadError(file.name, f"is not {encoding.upper()} text", n_bom + error.start) from error
    if not content:
        raise LoadError(file.name, "is empty", n_bom)
    return Text(file.name, content, encoding, n_bom)


def split_bom(data: bytes) -> tuple[str, int]:
    """Return encoding and length of the byte order mark; UTF-8 and 0 if there is none."""
    return next(((encoding, len(bom)) for bom, encoding in _BOMS if data.startswith(bom)), ("utf-8", 0))
