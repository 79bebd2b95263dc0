"""Where an HDF5 file begins, and what its superblock says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diffai_lib_hdf5.checksum import check
from diffai_lib_hdf5.region import Store

if TYPE_CHECKING:
    from diffai_lib_hdf5.region import Cursor, Region

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_USER_BLOCK = 1 << 24
"""Largest block of foreign bytes before the superblock that is skipped."""

_FIRST_PLACE = 512
_WIDTHS = (2, 4, 8)
_SUPERBLOCK_BYTES = 128


class Superblock(NamedTuple):
    """The beginning of an HDF5 file.

    Args:
        store: The file, as everything else reads it.
        root: Address of the header of the root group.
        user_block: Bytes before the superblock.
    """

    store: Store
    root: int
    user_block: int


def read_superblock(region: Region) -> Superblock:
    """Find and read the superblock.

    Args:
        region: The bytes; the superblock may stand at 0, 512, 1024 … of them.

    Raises:
        LoadError: If there is none, it is damaged, or the file is shorter than it says.
    """
    user_block = _find(region)
    inner = region.narrowed(user_block) if user_block else region
    cursor = Store(inner, 8, 8).upto("the superblock", 0, _SUPERBLOCK_BYTES)
    cursor.skip(len(SIGNATURE))
    version = cursor.version(0, 1, 2, 3)
    store, end, root = (_older if version < 2 else _newer)(cursor, version)  # noqa: PLR2004 - where the layout changed
    if end > region.size:
        reason = f"the file ends here, {end - region.size:,} bytes before its superblock says that it does"
        raise region.error(reason, region.size)
    return Superblock(store, root, user_block)


def _find(region: Region) -> int:
    place = 0
    while place + len(SIGNATURE) <= min(region.size, MAX_USER_BLOCK):
        if region.read("the signature", place, len(SIGNATURE)) == SIGNATURE:
            return place
        place = place * 2 or _FIRST_PLACE
    raise region.error("the signature of an HDF5 file is not there; it is truncated or no HDF5", 0)


def _older(cursor: Cursor, version: int) -> tuple[Store, int, int]:
    cursor.skip(4)
    store = _store(cursor)
    cursor.skip(9 if version == 0 else 13)
    cursor.store = store
    cursor.skip(store.address_bytes)  # the base; the place where the superblock was found stands for it
    cursor.pointer()
    end = cursor.target()
    if cursor.pointer() is not None:
        raise cursor.unsupported("the file is one of several that only together are whole (a file driver is named)")
    cursor.skip(store.address_bytes)
    return store, end, cursor.target()


def _newer(cursor: Cursor, _version: int) -> tuple[Store, int, int]:
    store = _store(cursor)
    cursor.skip(1)
    cursor.store = store
    cursor.skip(store.address_bytes)  # the base; the place where the superblock was found stands for it
    cursor.pointer()
    end, root = cursor.target(), cursor.target()
    check(cursor)
    return store, end, root


def _store(cursor: Cursor) -> Store:
    address_bytes, length_bytes = cursor.u8(), cursor.u8()
    if address_bytes not in _WIDTHS or length_bytes not in _WIDTHS:
        raise cursor.error(f"the superblock says that addresses have {address_bytes} and lengths {length_bytes} bytes")
    return Store(cursor.store.region, address_bytes, length_bytes)
