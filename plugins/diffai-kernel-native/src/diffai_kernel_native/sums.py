"""States of changes, counts, moments, norms and extrema, as ``native/states.hpp`` lays them out."""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import (
    Centred,
    Changes,
    ExtremaState,
    Higher,
    HigherMoments,
    Moments,
    NormsState,
    Scaled,
    SideCounts,
    ValueCounts,
)
from diffai_kernel_native.statistic import Statistic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from diffai_core.plugin import DType, PairLayout

    Numbers = tuple[Any, ...]


def _changes(numbers: Numbers, _layout: PairLayout) -> Changes:
    return Changes(*numbers)


def _counts(numbers: Numbers, _layout: PairLayout) -> SideCounts:
    return SideCounts(ValueCounts(*numbers[:8]), ValueCounts(*numbers[8:]))


def _moments(numbers: Numbers, _layout: PairLayout) -> Moments:
    return Moments(*(Centred(*numbers[i : i + 3]) for i in range(0, 15, 3)))


def _higher(numbers: Numbers, _layout: PairLayout) -> HigherMoments:
    return HigherMoments(*(Higher(Centred(*numbers[i : i + 3]), *numbers[i + 3 : i + 5]) for i in range(0, 15, 5)))


def _norms(numbers: Numbers, _layout: PairLayout) -> NormsState:
    return NormsState(numbers[0], tuple(Scaled(number) for number in numbers[1:]))


def _extrema(numbers: Numbers, layout: PairLayout) -> ExtremaState:
    has_old, has_new, old_low, old_high, new_low, new_high, has_peak, place, peak = numbers
    old_number, new_number = _number_type(layout.old_dtype), _number_type(layout.new_dtype)
    return ExtremaState(
        (old_number(old_low), old_number(old_high)) if has_old else None,
        (new_number(new_low), new_number(new_high)) if has_new else None,
        peak,
        place if has_peak else None,
    )


def _number_type(dtype: DType) -> type[float]:
    """Return the Python type of the values; integers were exact in float64."""
    return float if dtype.kind == "float" else int


def _fixed(layout_of_numbers: str, make: Callable[[Numbers, PairLayout], Any]) -> Statistic:
    """Return a statistic whose state is always the same few numbers."""
    numbers = struct.Struct(f"={layout_of_numbers}")

    def state(memory: NDArray[np.uint8], layout: PairLayout, _start: int, _stop: int) -> Any:
        return make(numbers.unpack(memory.data), layout)

    return Statistic(lambda layout: layout.measurable, lambda *_: numbers.size, state)


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        "changes": _fixed("5q", _changes),
        "counts": _fixed("16q", _counts),
        "moments": _fixed("qdd" * 5, _moments),
        "higher_moments": _fixed("qdddd" * 3, _higher),
        "norms": _fixed("q5d", _norms),
        "extrema": _fixed("qqddddqqd", _extrema),
    }
)
