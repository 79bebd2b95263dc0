"""States of rows, columns, quantisation groups and sparsity, as ``native/*_state.hpp`` lay them out."""

from __future__ import annotations

import struct
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from diffai_core.plugin import ACCUMULATORS, GroupSums, LinesState, LineSums, SideGroups, Sparsity
from diffai_kernel_native.statistic import Statistic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from diffai_core.plugin import PairLayout

    Memory = NDArray[np.uint8]

_LINES_HEAD = struct.Struct("=2q")
_PER_LINE = 10  # numbers: 4 sums, 3 peaks, 3 tallies
_STRIP = 8  # columns whose numbers lie together
_GROUP_SIZES = (32, 64, 128)
_GROUP_SUMS = struct.Struct("=qddqqdqqq")
_SPARSITY_BYTES = 2 * 5 * 8


def _applies(name: str, layout: PairLayout) -> bool:
    return ACCUMULATORS[name].start(layout) is not None


def _rows_bytes(layout: PairLayout, start: int, stop: int) -> int:
    n_rows = -(-stop // layout.columns) - start // layout.columns
    return _LINES_HEAD.size + 8 * _PER_LINE * n_rows


def _rows(memory: Memory, layout: PairLayout, _start: int, _stop: int) -> LinesState:
    first, stop = _LINES_HEAD.unpack_from(memory.data)
    if first == stop:
        return LinesState(layout)
    return _lines_state(layout, first, _numbers(memory, stop - first, 1))


def _columns_bytes(layout: PairLayout, _start: int, _stop: int) -> int:
    return _LINES_HEAD.size + 8 * _PER_LINE * _STRIP * -(-layout.columns // _STRIP)


def _columns(memory: Memory, layout: PairLayout, _start: int, _stop: int) -> LinesState:
    numbers = _numbers(memory, -(-layout.columns // _STRIP), _STRIP)
    return _lines_state(layout, 0, numbers[:, : layout.columns])


def _numbers(memory: Memory, n_records: int, width: int) -> NDArray[np.float64]:
    """Return a copy of the numbers of all lines, shape ``(10, n_records * width)``."""
    end = _LINES_HEAD.size + 8 * _PER_LINE * width * n_records
    records = memory[_LINES_HEAD.size : end].view(np.float64).reshape(n_records, _PER_LINE, width)
    return records.transpose(1, 0, 2).reshape(_PER_LINE, -1).copy()


def _lines_state(layout: PairLayout, first: int, numbers: NDArray[np.float64]) -> LinesState:
    sums, peaks, tallies = numbers[:4], numbers[4:7], np.ascontiguousarray(numbers[7:]).view(np.int64)
    return LinesState(layout, [LineSums(first, sums, peaks, tallies)])


def _groups_bytes(_layout: PairLayout, _start: int, _stop: int) -> int:
    return len(_GROUP_SIZES) * 2 * _GROUP_SUMS.size


def _groups(memory: Memory, layout: PairLayout, _start: int, _stop: int) -> dict[int, SideGroups]:
    records = [_group_sums(*numbers) for numbers in _GROUP_SUMS.iter_unpack(memory.data)]
    return {
        size: SideGroups(records[2 * i], records[2 * i + 1])
        for i, size in enumerate(_GROUP_SIZES)
        if layout.columns % size == 0
    }


def _group_sums(
    n_groups: int,
    absmax_squares: float,
    range_squares: float,
    max_distinct: int,
    sum_distinct: int,
    residual: float,
    n_residual: int,
    absmax_lost: int,
    range_lost: int,
) -> GroupSums:
    absmax = None if absmax_lost else absmax_squares
    spread = None if range_lost else range_squares
    return GroupSums(n_groups, absmax, spread, max_distinct, sum_distinct, residual, n_residual)


def _sparsity(memory: Memory, _layout: PairLayout, _start: int, _stop: int) -> Sparsity:
    old, new = memory.view(np.int64).reshape(2, -1).copy()
    return Sparsity(old, new)


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        "rows": Statistic(partial(_applies, "rows"), _rows_bytes, _rows),
        "columns": Statistic(partial(_applies, "columns"), _columns_bytes, _columns),
        "groups": Statistic(partial(_applies, "groups"), _groups_bytes, _groups),
        "sparsity": Statistic(partial(_applies, "sparsity"), lambda *_: _SPARSITY_BYTES, _sparsity),
    }
)
