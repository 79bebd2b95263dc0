"""Members of a zip file that no pickle refers to: they are compared, as text or by digest."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from diffai_lib_zip import MemberPayload
from diffai_lib_zip.payload import PIECE_BYTES

if TYPE_CHECKING:
    from diffai_lib_zip import Payload

    from diffai_load_pytorch.archive import Archive
    from diffai_load_pytorch.assembly import Assembly

MAX_TEXT_BYTES = 1 << 20
"""Longest text that is shown; a longer one is told by its digest."""

OTHERS_KEY = "__members__"

_CONTAINER = re.compile(
    r"version|byteorder|\.format_version|\.storage_alignment|\.data/\w+|archive_format|archive_version|\.data/version"
    r"|.*\.debug_pkl|mobile_debug_handles\.pkl"
)
"""What describes the container, or the place of the code on the author's machine."""


def add_other_members(assembly: Assembly, archive: Archive, prefix: str) -> None:
    """Add what nothing has asked for.

    Raises:
        LoadError: If it is damaged.
    """
    others = [name for name in archive.members if name not in archive.used and not _CONTAINER.fullmatch(name)]
    if others:
        found = {name: text_or_digest(archive, name) for name in others}
        assembly.add_tree(found, f"{prefix}.{OTHERS_KEY}" if prefix else OTHERS_KEY, archive.file)


def text_or_digest(archive: Archive, name: str) -> Any:
    """Return a member as text if it is text of moderate length, else its size and BLAKE2b digest.

    Raises:
        LoadError: If it is damaged.
    """
    archive.used.add(name)
    payload = MemberPayload(archive.file, archive.members[name])
    if payload.size <= MAX_TEXT_BYTES:
        data = archive.read(name, MAX_TEXT_BYTES)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return digest_of(payload)
        return text if text.isprintable() or not any(ord(c) < 9 for c in text) else digest_of(payload)  # noqa: PLR2004 - the tab
    return digest_of(payload)


def digest_of(payload: Payload) -> dict[str, Any]:
    """Return size and BLAKE2b digest.

    Raises:
        LoadError: If the bytes are damaged.
    """
    digest = hashlib.blake2b(digest_size=32)
    reader = payload.reader()
    buffer = memoryview(bytearray(PIECE_BYTES))
    for place in range(0, payload.size, PIECE_BYTES):
        piece = buffer[: payload.size - place]
        reader.read_into(place, piece)
        digest.update(piece)
    reader.finish()
    return {"bytes": payload.size, "blake2b": digest.hexdigest()}
