"""From the elements of any dtype to NumPy arrays that compute fast and exactly."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.workspace import Workspace
    from diffai_core.dtypes import DType

Numbers = Callable[["NDArray[Any]", "Workspace", str], "NDArray[Any]"]
"""``(elements, workspace, slot) -> numbers``: 1-D float32, float64 or integer array, perhaps in the workspace."""

EXACT_INTEGERS = 1 << 53
"""Integers up to this magnitude are exact in float64."""


@cache
def converter(dtype: DType) -> Numbers:
    """Return the function that turns elements of ``dtype`` into numbers, each exactly.

    Complex elements become pairs of real and imaginary parts. ml_dtypes loops are slow: bfloat16 is shifted into
    float32, narrower floats are looked up in a table.
    """
    if dtype.kind == "float" and dtype.bits <= 8:  # noqa: PLR2004 - a byte
        return _Table(float_table(dtype))
    if dtype.kind in ("int", "uint") and dtype.bits < 8:  # noqa: PLR2004 - a byte
        return _view_int8 if dtype.kind == "int" else _view_uint8
    return _SPECIAL.get(dtype.name, _as_is)


@cache
def float_table(dtype: DType) -> NDArray[np.float64]:
    """Return the float64 value of each of the 256 bytes that can hold an element of ``dtype``."""
    codes = np.arange(256, dtype=np.uint8) & np.uint8((1 << dtype.bits) - 1)
    with np.errstate(all="ignore"):
        table: NDArray[np.float64] = codes.view(dtype.numpy).astype(np.float64)
    table.flags.writeable = False
    return table


def to_float64(numbers: NDArray[Any], workspace: Workspace, slot: str) -> NDArray[np.float64]:
    """Return ``numbers`` as float64, rounded to nearest where an integer needs more than 53 bits."""
    if numbers.dtype == np.float64:
        return numbers
    out = workspace.float64(slot, numbers.size)
    np.copyto(out, numbers)
    return out


def is_wide(low: float | None, high: float | None) -> bool:
    """Whether numbers between ``low`` and ``high`` are integers that float64 would round."""
    return isinstance(low, int) and isinstance(high, int) and (low < -EXACT_INTEGERS or high > EXACT_INTEGERS)


def exact_difference(new: NDArray[Any], old: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``new - old`` rounded to float64 once, for any mix of 64-bit integers and finite floats.

    Between an integer and a float the result may be one unit in the last place off; it is 0 only where both are
    exactly equal.
    """
    new_high, new_low = _split(new)
    old_high, old_low = _split(old)
    total = new_high - old_high
    back = total - new_high
    error = (new_high - (total - back)) - (old_high + back)
    difference: NDArray[np.float64] = (total + (new_low - old_low)) + error
    return difference


def _split(numbers: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two float64 arrays whose exact sum is ``numbers``."""
    if numbers.dtype.kind == "f":
        return numbers.astype(np.float64), np.zeros(numbers.size)
    # All high parts are multiples of 2**32, so that their differences are exact.
    low = numbers & numbers.dtype.type(0xFFFFFFFF) if numbers.itemsize == 8 else numbers  # noqa: PLR2004 - eight bytes
    return (numbers - low).astype(np.float64), low.astype(np.float64)


def _as_is(elements: NDArray[Any], _workspace: Workspace, _slot: str) -> NDArray[Any]:
    return elements


def _view_int8(elements: NDArray[Any], _workspace: Workspace, _slot: str) -> NDArray[Any]:
    return elements.view(np.int8)


def _view_uint8(elements: NDArray[Any], _workspace: Workspace, _slot: str) -> NDArray[Any]:
    return elements.view(np.uint8)


def _view_float32(elements: NDArray[Any], _workspace: Workspace, _slot: str) -> NDArray[Any]:
    return elements.view(np.float32)


def _view_float64(elements: NDArray[Any], _workspace: Workspace, _slot: str) -> NDArray[Any]:
    return elements.view(np.float64)


def _shift_bfloat16(elements: NDArray[Any], workspace: Workspace, slot: str) -> NDArray[Any]:
    words = workspace.uint32(slot, elements.size)
    np.copyto(words, elements.view(np.uint16))
    np.left_shift(words, 16, out=words)
    return words.view(np.float32)


def _cast_float16(elements: NDArray[Any], workspace: Workspace, slot: str) -> NDArray[Any]:
    out = workspace.float64(slot, elements.size)
    with np.errstate(invalid="ignore"):  # signalling NaN
        np.copyto(out, elements)
    return out


def _nonzero_bytes(elements: NDArray[Any], workspace: Workspace, slot: str) -> NDArray[Any]:
    out = workspace.mask(slot, elements.size)
    np.not_equal(elements.view(np.uint8), 0, out=out)
    return out.view(np.uint8)


class _Table:
    """Looks bytes up in a table of 256 float64."""

    def __init__(self, table: NDArray[np.float64]) -> None:
        self._table = table

    def __call__(self, elements: NDArray[Any], workspace: Workspace, slot: str) -> NDArray[Any]:
        out = workspace.float64(slot, elements.size)
        np.take(self._table, elements.view(np.uint8), out=out, mode="clip")
        return out


_SPECIAL: dict[str, Numbers] = {
    "bfloat16": _shift_bfloat16,
    "float16": _cast_float16,
    "bool": _nonzero_bytes,
    "complex64": _view_float32,
    "complex128": _view_float64,
}
