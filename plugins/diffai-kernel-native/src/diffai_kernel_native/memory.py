"""The memory that the extension works on: what it is asked, scratch, and states."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from diffai_core.plugin import float_table, mantissa_bits, smallest_normal
from diffai_kernel_native.statistics import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from types import ModuleType

    from numpy.typing import NDArray

    from diffai_core.plugin import DType, Leaf, PairLayout

_REAL, _TABLE, _INTEGER, _NATURAL, _BOOLEAN = range(5)
_CACHE_LINE = 64
_TYPE = struct.Struct("=6i d")
_LAYOUT = struct.Struct("=qqddq")


def aligned_bytes(n_bytes: int) -> NDArray[np.uint8]:
    """Return writable memory that begins at a cache line."""
    memory = np.empty(n_bytes + _CACHE_LINE, np.uint8)
    begin = -memory.ctypes.data % _CACHE_LINE
    return memory[begin : begin + n_bytes]


def raw_bytes(elements: NDArray[Any]) -> memoryview:
    """Return the bytes of elements, one per item."""
    return np.ascontiguousarray(elements).view(np.uint8).data


@cache
def packed_type(kind: DType) -> bytes:
    """Return a dtype as ``struct Type`` of ``native/leaf.hpp``."""
    is_table = kind.kind == "float" and kind.bits <= 8  # noqa: PLR2004 - a byte
    code = _TABLE if is_table else {"float": _REAL, "int": _INTEGER, "uint": _NATURAL, "bool": _BOOLEAN}[kind.kind]
    table = float_table(kind) if is_table else np.zeros(256)
    is_float = kind.kind == "float"
    head = _TYPE.pack(
        code,
        kind.bits,
        max(kind.bits // 8, 1),
        mantissa_bits(kind) or 0,
        is_table and not (table < 0).any(),
        number_of(kind),
        smallest_normal(kind) if is_float else 0.0,
    )
    return head + table.tobytes()


@cache
def number_of(kind: DType) -> int:
    """Return a number that stands for the dtype."""
    from diffai_core.plugin import DTYPE_NAMES

    return DTYPE_NAMES.index(kind.name)


class Run:
    """The states of consecutive leaves; their memory is used again from run to run.

    Args:
        native: The extension.
    """

    def __init__(self, native: ModuleType) -> None:
        self._order: tuple[str, ...] = native.STATISTICS
        self._memory: dict[str, NDArray[np.uint8]] = {}
        self._layout: PairLayout
        self._span: tuple[int, int]
        self._is_empty = True
        self.states_memory: tuple[NDArray[np.uint8] | None, ...] = ()
        """What the extension fills, in its order; ``None`` for what is not wanted."""

    def start(self, layout: PairLayout, names: AbstractSet[str], start: int, stop: int) -> None:
        """Make room for the statistics ``names`` of the elements from ``start`` to ``stop``."""
        self._layout, self._span = layout, (start, stop)
        parts = {name: self._part(name) for name in self._order if name in names}
        self.states_memory = tuple(parts.get(name) for name in self._order)
        self._is_empty = True

    def begin(self) -> None:
        """Make the states those of no elements, unless they hold some already."""
        if not self._is_empty:
            return
        for part in self.states_memory:
            if part is not None:
                part.fill(0)
        self._is_empty = False

    def _part(self, name: str) -> NDArray[np.uint8]:
        size = STATISTICS[name].n_bytes(self._layout, *self._span)
        if name not in self._memory or self._memory[name].size < size:
            self._memory[name] = aligned_bytes(size)
        return self._memory[name][:size]

    def request(self, *, one_source: bool) -> bytes:
        """Return what is asked for, as ``struct Request`` of ``native/module.cpp``."""
        layout, tolerance = self._layout, self._layout.tolerance
        return (
            packed_type(layout.old_dtype)
            + packed_type(layout.new_dtype)
            + _LAYOUT.pack(layout.rows, layout.columns, tolerance.atol, tolerance.rtol, one_source)
        )

    def leaves(self, leaves: Sequence[Leaf]) -> NDArray[np.int64]:
        """Return the leaves as the extension reads them."""
        return np.array(leaves, np.int64)

    def states(self) -> dict[str, Any]:
        """Return the states by statistic, none if there are no elements, and begin anew."""
        if self._is_empty:
            return {}
        self._is_empty = True
        parts = zip(self._order, self.states_memory, strict=True)
        return {
            name: STATISTICS[name].state(part, self._layout, *self._span) for name, part in parts if part is not None
        }
