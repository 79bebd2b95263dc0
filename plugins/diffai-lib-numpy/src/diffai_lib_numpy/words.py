"""Copying elements of any size, and turning the bytes of big-endian ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_lib_numpy.elements import Element

_WORDS = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}


def word(size: int) -> np.dtype[Any]:
    """Return the dtype that copies ``size`` bytes fastest.

    Example:
        >>> word(4), word(6)
        (dtype('uint32'), dtype('V6'))
    """
    return np.dtype(_WORDS.get(size, f"V{size}"))


def to_little_endian(block: NDArray[Any], element: Element) -> None:
    """Turn the bytes of each unit of a contiguous 1-D block round, in place, if the element is big-endian."""
    if element.swap in _WORDS:
        block.view(_WORDS[element.swap]).byteswap(inplace=True)
    elif element.swap:
        units = block.view(np.uint8).reshape(-1, element.swap)
        units[:] = units[:, ::-1].copy()
