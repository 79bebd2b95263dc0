"""One side of a block: its elements as bits, as numbers and as float64."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.accumulators.centred import Centred, Series, centred_sums, series_of_integers
from diffai_core.accumulators.computed import computed
from diffai_core.accumulators.numbers import converter, is_wide, to_float64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from diffai_core.accumulators.workspace import Workspace
    from diffai_core.dtypes import DType

Bounds = tuple[float, float]

_DOUBLE = frozenset(("float64", "complex128", "int64", "uint64"))


class Side:
    """The elements of one side of a block; everything else is computed once, when it is asked for.

    Arrays may lie in the workspace: they are valid until the next block, and must not be written to.

    Args:
        elements: 1-D array of the native dtype.
        dtype: Its type in the vocabulary.
        workspace: Scratch memory.
        slot: Name of this side in the workspace.
        as_pairs: Whether real elements are to become pairs with an imaginary part 0.

    Attributes:
        elements: The elements, aligned.
        dtype: Their type.
        double: Whether numbers have 64 bits, so that float64 may round integers and its squares overflow.
    """

    def __init__(
        self, elements: NDArray[Any], dtype: DType, workspace: Workspace, slot: str, *, as_pairs: bool = False
    ) -> None:
        flags = elements.flags
        self.elements = elements if flags.aligned and flags.c_contiguous else elements.copy()
        self.dtype = dtype
        self.double = dtype.name in _DOUBLE
        self._workspace = workspace
        self._slot = slot
        self._as_pairs = as_pairs and dtype.kind != "complex"

    @computed
    def bits(self) -> NDArray[Any]:
        """Elements as unsigned integers, shape ``(count,)``; as rows of bytes where no integer is that long."""
        if self.elements.itemsize in (1, 2, 4, 8):
            return self.elements.view(f"u{self.elements.itemsize}")
        if not self.elements.itemsize:
            return np.empty((self.elements.size, 0), np.uint8)
        return self.elements.view(np.uint8).reshape(self.elements.size, -1)

    @computed
    def part_bits(self) -> NDArray[Any]:
        """Bits of each stored number as unsigned integers; a complex element gives two."""
        if self.dtype.kind != "complex":
            return self.bits
        return self.elements.view(f"u{self.elements.itemsize // 2}")

    @computed
    def part_finite(self) -> NDArray[np.bool_] | None:
        """Which of :attr:`part_bits` are finite; ``None`` if all are."""
        return self.finite[::2] if self.finite is not None and self._as_pairs else self.finite

    @computed
    def numbers(self) -> NDArray[Any]:
        """Exact values, shape ``(count * components,)``, as float32, float64 or integers; NaN and Inf included."""
        numbers = converter(self.dtype)(self.elements, self._workspace, self._slot)
        if not self._as_pairs:
            return numbers
        pairs = np.zeros((numbers.size, 2), numbers.dtype)
        pairs[:, 0] = numbers
        return pairs.reshape(-1)

    @computed
    def values(self) -> NDArray[np.float64]:
        """Values as float64, shape ``(count * components,)``; NaN and Inf included."""
        if self.finite is None:
            return to_float64(self.numbers, self._workspace, self._slot)
        with np.errstate(invalid="ignore"):  # signalling NaN
            return to_float64(self.numbers, self._workspace, self._slot)

    @computed
    def _all_bounds(self) -> Bounds:
        return _bounds(self.numbers)

    @computed
    def finite(self) -> NDArray[np.bool_] | None:
        """Which values are finite, shape ``(count * components,)``; ``None`` if all are."""
        low, high = self._all_bounds
        return None if math.isfinite(low) and math.isfinite(high) else np.isfinite(self.numbers)

    @computed
    def bounds(self) -> Bounds | None:
        """Least and greatest finite value (exact ``int`` for integers); ``None`` if no value is finite."""
        if self.finite is None:
            return self._all_bounds
        kept = self.numbers[self.finite]
        return _bounds(kept) if kept.size else None

    @computed
    def wide(self) -> bool:
        """Whether the values are integers that float64 would round."""
        return self.bounds is not None and is_wide(*self.bounds)

    @computed
    def largest(self) -> float:
        """Greatest magnitude of a finite value; 0 if there is none."""
        return max(abs(self.bounds[0]), abs(self.bounds[1])) if self.bounds else 0

    @computed
    def series(self) -> Series | None:
        """The finite values; ``None`` if there is none."""
        return self.series_where(self.finite)

    @computed
    def centred(self) -> Centred:
        """Count, mean and centred sum of squares of the finite values."""
        return centred_sums(self.series, self._workspace) if self.series else Centred()

    def series_where(self, mask: NDArray[np.bool_] | None) -> Series | None:
        """Return the values kept by ``mask``, all of them finite; ``None`` if there is none."""
        numbers = self.numbers if mask is None else self.numbers[mask]
        if not numbers.size:
            return None
        low, high = self._all_bounds if mask is None else _bounds(numbers)
        if self.double and is_wide(low, high):
            kept = "all" if mask is None else "some"  # both may be in use
            scratch = self._workspace.float64(f"{self._slot}-{kept}-from-pivot", numbers.size)
            return series_of_integers(numbers, int(low), int(high), scratch)
        values = self.values if mask is None else numbers.astype(np.float64)
        return Series(values, low, high, self.double)


def _bounds(numbers: NDArray[Any]) -> Bounds:
    """Return least and greatest of at least one number; NaN if one is; never -0.0."""
    low, high = np.minimum.reduce(numbers).item(), np.maximum.reduce(numbers).item()
    return low + 0, high + 0
