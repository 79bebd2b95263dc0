"""Tells what PyTorch saves from the other formats that are zip or tar files."""

from __future__ import annotations

import re

_NAME_LENGTH = 26
_NAME = 30
_MEMBER = re.compile(
    rb"[^/]+/(?:data\.pkl|constants\.pkl|bytecode\.pkl|attributes\.pkl|version|byteorder|archive_format|archive_version"
    rb"|\.format_version|\.storage_alignment|\.data/\w+|data/\d+|constants/\d+|code/__torch__.*|extra/.*"
    rb"|data/(?:weights|constants|aotinductor|sample_inputs)/.*|models/\w+\.json)",
    re.DOTALL,
)
_FOLDER = re.compile(rb"[^/]+/(?:data/|code/|constants/)?")
_INDEX_START = re.compile(rb'[ \t\n\r]*\{[ \t\n\r]*"')
_SHARD_NAME = re.compile(rb'\.(?:bin|pt|pth)"')
_TAR_FIRST = b"sys_info\0"
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257


def looks_like_pytorch(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file is a zip file with a member that PyTorch writes, its old tar file, or an index of its shards.

    Args:
        head: First bytes of the file.
        size: Bytes in the file.
    """
    if head.startswith(_TAR_FIRST):
        return head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC
    if looks_like_index(head):
        return True
    at = 0
    while head.startswith(b"PK\x03\x04", at):
        length = int.from_bytes(head[at + _NAME_LENGTH : at + _NAME_LENGTH + 2], "little")
        name = head[at + _NAME : at + _NAME + length]
        if not _FOLDER.fullmatch(name):
            return bool(_MEMBER.fullmatch(name))
        at += _NAME + length + int.from_bytes(head[at + 28 : at + 30], "little")  # a folder has no data
    return False


def looks_like_index(head: bytes) -> bool:
    """Whether ``head`` begins the index of a sharded checkpoint; that of safetensors files is none."""
    return bool(_INDEX_START.match(head) and b'"weight_map"' in head and _SHARD_NAME.search(head))
