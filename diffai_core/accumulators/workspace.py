"""Scratch memory of one worker, used again from leaf to leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.layout import LEAF

if TYPE_CHECKING:
    from numpy.typing import NDArray


_CACHE_LINE = 64


def aligned(size: int, code: str) -> NDArray[Any]:
    """Return an uninitialised array that starts at a cache line; NumPy's own make vector code twice as slow."""
    n_bytes = np.dtype(code).itemsize * size
    memory = np.empty(n_bytes + _CACHE_LINE, np.uint8)
    begin = -memory.__array_interface__["data"][0] % _CACHE_LINE
    return memory[begin : begin + n_bytes].view(code)


class Workspace:
    """Named scratch arrays. Not for use by two threads at a time.

    An array is valid until the same name is asked for again; the contents are arbitrary.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}

    def float64(self, name: str, size: int) -> NDArray[np.float64]:
        """Return a float64 array of ``size`` elements."""
        return self._array(name, "f8", size)

    def uint32(self, name: str, size: int) -> NDArray[np.uint32]:
        """Return a uint32 array of ``size`` elements."""
        return self._array(name, "u4", size)

    def mask(self, name: str, size: int) -> NDArray[np.bool_]:
        """Return a bool array of ``size`` elements."""
        return self._array(name, "?", size)

    def _array(self, name: str, code: str, size: int) -> NDArray[Any]:
        array = self._arrays.get((name, code))
        if array is None or array.size < size:
            array = self._arrays[name, code] = aligned(max(size, LEAF), code)
        return array[:size]
