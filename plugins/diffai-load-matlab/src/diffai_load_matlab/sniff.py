"""Recognises a MATLAB file: by the end of its head, or, of version 4, by the header of its first matrix."""

from __future__ import annotations

import struct

HEAD_BYTES = 128
MATRIX_HEADER_BYTES = 20
MAX_NAME = 64

_VERSION_PLACE = 124
_HEADS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
_WIDTHS = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}
_SPARSE = 2


def looks_like_mat(head: bytes, size: int) -> bool:
    """Whether the file that begins with ``head`` and has ``size`` bytes is one of MATLAB.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    return byte_order(head) != "" or order_of_version_4(head, size) != ""


def byte_order(head: bytes) -> str:
    """Return ``<`` or ``>`` for a file of version 5, empty for another."""
    return _HEADS.get(head[_VERSION_PLACE:HEAD_BYTES], "")


def order_of_version_4(head: bytes, size: int) -> str:
    """Return ``<`` or ``>`` if a matrix of version 4 could start here and end in the file, empty if none could."""
    if len(head) < MATRIX_HEADER_BYTES + 2:
        return ""
    return next((order for order in "<>" if _fits(head, size, order)), "")


def _fits(head: bytes, size: int, order: str) -> bool:
    kind, rows, columns, imaginary, n_name = struct.unpack_from(f"{order}5i", head)
    machine, rest = divmod(kind, 1000)
    zero, rest = divmod(rest, 100)
    width, use = _WIDTHS.get(rest // 10, 0), rest % 10
    if machine != (order == ">") or zero or not width or use > _SPARSE or imaginary not in {0, 1}:
        return False
    if rows < 0 or columns < 0 or not 2 <= n_name <= MAX_NAME:  # noqa: PLR2004 - a letter and a NUL
        return False
    name = head[MATRIX_HEADER_BYTES : MATRIX_HEADER_BYTES + n_name]
    n_bytes = rows * columns * width * (1 + imaginary)
    return (
        len(name) == n_name
        and name[-1] == 0
        and name[:-1].decode("latin-1").isidentifier()
        and MATRIX_HEADER_BYTES + n_name + n_bytes <= size
    )
