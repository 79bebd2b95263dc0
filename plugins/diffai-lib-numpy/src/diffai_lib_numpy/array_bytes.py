"""Where the bytes of an array are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffai_lib_zip.payload import Payload


@dataclass(frozen=True)
class ArrayBytes:
    """The bytes of an array.

    Args:
        payload: Where they are, the header included.
        start: Bytes of the header.
        shape: Length of each dimension.
        record: Bytes of one element or record.
        fortran_order: Whether the first index runs fastest.
    """

    payload: Payload
    start: int
    shape: tuple[int, ...]
    record: int
    fortran_order: bool
