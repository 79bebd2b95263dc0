"""States of histograms, ULP distances and mantissas, as ``native/*_state.hpp`` lay them out."""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from diffai_core.plugin import (
    BytePlanesState,
    HistogramsState,
    KeyCounts,
    Mantissas,
    MantissaUse,
    UlpState,
    mantissa_bits,
)
from diffai_kernel_native.statistic import Statistic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import DType, PairLayout

    Memory = NDArray[np.uint8]

_N_KEYS = 1 << 16
_LISTED_KEYS = 8192
_N_LISTED = struct.Struct("=8q")
_SIDES_BYTES = _N_KEYS * 2 * 4
_DELTA_BYTES = _N_KEYS * 4

_ULP_APART = 32768
_ULP_HEAD = struct.Struct("=qQqq")
_PLANES_HEAD = struct.Struct("=4q")
_BYTE_VALUES = 256
_UPPER_BYTES = _N_KEYS * 4

_MANTISSAS = struct.Struct("=8q")


def _histograms_bytes(layout: PairLayout, _start: int, _stop: int) -> int:
    if layout.numel <= _LISTED_KEYS:
        return _N_LISTED.size + 3 * layout.numel * (4 + 2)
    return _N_LISTED.size + _SIDES_BYTES + _DELTA_BYTES


def _histograms(memory: Memory, layout: PairLayout, _start: int, _stop: int) -> HistogramsState:
    counts = _listed(memory, layout.numel) if layout.numel <= _LISTED_KEYS else _tabled(memory[_N_LISTED.size :])
    return HistogramsState(layout, counts)


def _listed(memory: Memory, capacity: int) -> list[KeyCounts]:
    """Return the counts of OLD, NEW and the difference from lists of the keys that occur."""
    n_listed = _N_LISTED.unpack_from(memory.data)[:3]
    places = range(0, 3 * capacity, capacity)
    end = _N_LISTED.size + 3 * capacity * 4
    counts, keys = memory[_N_LISTED.size : end].view(np.uint32), memory[end:].view(np.uint16)
    return [
        KeyCounts(keys[place : place + n].copy(), counts[place : place + n].astype(np.int64))
        for place, n in zip(places, n_listed, strict=True)
    ]


def _tabled(tables: Memory) -> list[KeyCounts]:
    """Return the counts of OLD, NEW and the difference from tables of all keys."""
    sides, delta = tables[:_SIDES_BYTES], tables[_SIDES_BYTES:].view(np.uint32)
    on_either = np.flatnonzero(sides.view(np.uint64) != 0)
    old, new = sides.view(np.uint32).reshape(-1, 2)[on_either].T
    in_delta = np.flatnonzero(delta != 0)
    return [_found(on_either, old), _found(on_either, new), _found(in_delta, delta[in_delta])]


def _found(keys: NDArray[np.intp], counts: NDArray[np.uint32]) -> KeyCounts:
    found = counts != 0
    return KeyCounts(keys[found].astype(np.uint16), counts[found].astype(np.int64))


def _ulp_applies(layout: PairLayout) -> bool:
    return layout.measurable and layout.old_dtype == layout.new_dtype and layout.old_dtype.kind != "bool"


def _width(dtype: DType) -> int:
    """Return the bits in which an element is held: whole bytes."""
    return max(dtype.bits, 8)


def _has_upper(layout: PairLayout) -> bool:
    """Whether the upper two bytes are counted together."""
    return layout.numel > _ULP_APART and _width(layout.old_dtype) > 8  # noqa: PLR2004 - a byte


def _ulp_bytes(layout: PairLayout, _start: int, _stop: int) -> int:
    return _ULP_HEAD.size + 8 * 3 * (_width(layout.old_dtype) + 1)


def _ulp(memory: Memory, layout: PairLayout, _start: int, _stop: int) -> UlpState:
    width = _width(layout.old_dtype)
    n, largest, n_sign_flips, _ = _ULP_HEAD.unpack_from(memory.data)
    counts = memory[_ULP_HEAD.size :].view(np.int64).copy()
    log2_distance, popcount = np.split(counts, (2 * (width + 1),))
    return UlpState(n, log2_distance.reshape(2, width + 1), popcount, largest, n_sign_flips)


def _planes_end(layout: PairLayout) -> int:
    """Return where the counts of single bytes end."""
    return _PLANES_HEAD.size + _width(layout.old_dtype) * _BYTE_VALUES


def _planes_bytes(layout: PairLayout, _start: int, _stop: int) -> int:
    return _planes_end(layout) + (_UPPER_BYTES if _has_upper(layout) else 0)


def _byte_planes(memory: Memory, layout: PairLayout, _start: int, _stop: int) -> BytePlanesState:
    n, end = _PLANES_HEAD.unpack_from(memory.data)[0], _planes_end(layout)
    planes = memory[_PLANES_HEAD.size : end].view(np.int64).reshape(-1, _BYTE_VALUES).copy()
    if _has_upper(layout):
        upper = memory[end:].view(np.uint32).reshape(_BYTE_VALUES, _BYTE_VALUES)
        planes[-1] += upper.sum(axis=1, dtype=np.int64)
        planes[-2] += upper.sum(axis=0, dtype=np.int64)
    return BytePlanesState(n, planes)


def _mantissas(memory: Memory, layout: PairLayout, _start: int, _stop: int) -> Mantissas:
    numbers = _MANTISSAS.unpack_from(memory.data)
    return Mantissas(_mantissa_use(layout.old_dtype, *numbers[:4]), _mantissa_use(layout.new_dtype, *numbers[4:]))


def _mantissa_use(dtype: DType, mask: int, in_use: int, min_exponent: int, max_exponent: int) -> MantissaUse | None:
    n_bits = mantissa_bits(dtype)
    if n_bits is None:
        return None
    return MantissaUse(n_bits, mask, min_exponent, max_exponent) if in_use else MantissaUse(n_bits, mask)


def _is_measurable(layout: PairLayout) -> bool:
    return layout.measurable


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        "histograms": Statistic(_is_measurable, _histograms_bytes, _histograms),
        "ulp": Statistic(_ulp_applies, _ulp_bytes, _ulp),
        "byte_planes": Statistic(_ulp_applies, _planes_bytes, _byte_planes),
        "mantissa": Statistic(_is_measurable, lambda *_: _MANTISSAS.size, _mantissas),
    }
)
