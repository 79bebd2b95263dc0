"""Reads zip files strictly, and their members lazily; a library for loader plugins."""

from __future__ import annotations

from diffai_lib_zip.directory import DEFLATED, MAX_MEMBERS, STORED, Directory, Member, directory_within, read_directory
from diffai_lib_zip.payload import PIECE_BYTES, Held, MemberPayload, Payload, Reader, Region, read_all
from diffai_lib_zip.wording import brief, short

__all__ = [
    "DEFLATED",
    "MAX_MEMBERS",
    "PIECE_BYTES",
    "STORED",
    "Directory",
    "Held",
    "Member",
    "MemberPayload",
    "Payload",
    "Reader",
    "Region",
    "brief",
    "directory_within",
    "read_all",
    "read_directory",
    "short",
]
