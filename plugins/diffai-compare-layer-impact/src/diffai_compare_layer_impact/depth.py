"""Whether the change grows or shrinks with depth, and which layers stand out from their peers."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_compare_layer_impact.cells import Cell, Stack

LEAST_BLOCKS = 6
"""With fewer points the interval of a slope says nothing."""

FALSE_ALARMS = 0.01
"""Accepted probability that any layer of a role is flagged though all are alike."""


class Depth(NamedTuple):
    """The trend of the change over the blocks of one stack.

    Args:
        stack: The stack.
        n_blocks: Blocks with a change behind the slope.
        slope: Decades (factors of 10) of relative change per block.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    stack: str
    n_blocks: int
    slope: float
    low: float
    high: float


class Outlier(NamedTuple):
    """A layer that changed unlike the others of its role.

    Args:
        key: Its tensor with the largest relative change.
        rel_change: That change.
        z: Robust z of its logarithm among the layers of its role, less their trend over depth.
        threshold: What ``z`` was held against.
        n_peers: Layers of the role.
    """

    key: str
    rel_change: float
    z: float
    threshold: float
    n_peers: int


def profiles(cells: Mapping[Stack, Mapping[str, Cell]]) -> dict[str, dict[str, dict[int, Cell]]]:
    """Return the cells of matrices that changed, by stack, role and block."""
    found: dict[str, dict[str, dict[int, Cell]]] = defaultdict(lambda: defaultdict(dict))
    for (prefix, block), roles in cells.items():
        for role, cell in roles.items():
            if block is not None and cell.rel_change and cell.impacts[0].matrix:
                found[prefix][role][block] = cell
    return found


def depth_of(cells: Mapping[Stack, Mapping[str, Cell]]) -> Depth | None:
    """Return the trend in the stack of most blocks; ``None`` if fewer than six of its blocks changed.

    A block is the median over its roles of log10(rel_change) less the median of that role over all blocks, so that
    roles which only some blocks have bend nothing.
    """
    from diffai_lib_statistics import theil_sen

    stacks = profiles(cells)
    longest = max(
        stacks, key=lambda stack: len({block for role in stacks[stack].values() for block in role}), default=""
    )
    levels: dict[int, list[float]] = defaultdict(list)
    for blocks in stacks.get(longest, {}).values():
        logs = {block: _log(cell) for block, cell in blocks.items()}
        middle = _median(list(logs.values()))
        for block, value in logs.items():
            levels[block].append(value - middle)
    if len(levels) < LEAST_BLOCKS:
        return None
    depths = sorted(levels)
    trend = theil_sen(depths, [_median(levels[block]) for block in depths])
    return Depth(longest, len(depths), trend.slope, trend.low, trend.high)


def outliers_of(cells: Mapping[Stack, Mapping[str, Cell]]) -> list[Outlier]:
    """Return the layers that changed unlike their role in the other blocks; by chance in 1 % of the roles."""
    from diffai_lib_statistics import detrended, family_wise_threshold, robust_z

    found = []
    for roles in profiles(cells).values():
        for blocks in roles.values():
            depths = sorted(blocks)
            threshold = family_wise_threshold(len(depths), FALSE_ALARMS, after_trend=True)
            if math.isinf(threshold):
                continue
            scores = robust_z(detrended(depths, [_log(blocks[block]) for block in depths]), floor=_RESOLUTION)
            for block, score in zip(depths, scores.tolist(), strict=True):
                leading = blocks[block].leading
                if abs(score) > threshold and leading is not None and leading.rel_change is not None:
                    found.append(Outlier(leading.key, leading.rel_change, score, threshold, len(depths)))
    return found


_RESOLUTION = 1e-3
"""Least spread of log10(rel_change) that counts: 0.2 %."""


def _log(cell: Cell) -> float:
    return math.log10(cell.rel_change or math.nan)


def _median(values: list[float]) -> float:
    from statistics import median

    return median(values)
