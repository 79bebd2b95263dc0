"""How gradients change along the depth of a model, and which tensors stand out among those of their role."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from diffai_lib_layers import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from diffai_compare_gradients.moments import Gradient

_LEAST_FAMILY = 5
_LEAST_BLOCKS = 4
FALSE_ALARM_RATE = 0.05


class Outlier(NamedTuple):
    """A tensor whose gradients are unlike those of its role in other blocks.

    Args:
        gradient: The tensor's.
        z: Robust z of log10 of its size, less the trend over depth.
        threshold: The |z| that chance exceeds in 5 % of families of this size.
    """

    gradient: Gradient
    z: float
    threshold: float


class _Point(NamedTuple):
    stack: str
    block: int
    family: tuple[str, str, str, str]
    log_size: float
    gradient: Gradient


def _points(gradients: Iterable[Gradient]) -> Iterator[_Point]:
    for gradient in gradients:
        where, size = place(gradient.source.name), gradient.rms_per_parameter
        if gradient.source.state.name and where.block is not None and size is not None and 0 < size < math.inf:
            leaf = where.leaf if where.inner or where.leaf != str(where.block) else ""  # a block that is one layer
            family = (where.prefix, where.inner, leaf, where.part)
            yield _Point(where.prefix, where.block, family, math.log10(size), gradient)


def depth_profile(gradients: Sequence[Gradient]) -> dict[str, Any]:
    """Return the slope of gradient sizes over the blocks of the largest stack; ``None`` where there are too few blocks.

    A block counts by the median, over its tensors, of log10 size less the median of the family across blocks.
    """
    import numpy as np
    from diffai_lib_statistics import theil_sen

    points = list(_points(gradients))
    stacks: dict[str, list[_Point]] = defaultdict(list)
    for point in points:
        stacks[point.stack].append(point)
    if not stacks:
        return {}
    repeated = {name: _families(stacks[name]) for name in stacks}
    stack = max(stacks, key=lambda name: (sum(len(f) for f in repeated[name].values() if len(f) > 1), name))
    families = repeated[stack]
    centre = {family: float(np.median([point.log_size for point in members])) for family, members in families.items()}
    blocks: dict[int, list[float]] = defaultdict(list)
    for point in stacks[stack]:
        if len(families[point.family]) > 1:
            blocks[point.block].append(point.log_size - centre[point.family])
    if len(blocks) < _LEAST_BLOCKS:
        return {}
    numbers = sorted(blocks)
    trend = theil_sen(numbers, [float(np.median(blocks[number])) for number in numbers])
    return {
        "stack": stack,
        "n_blocks": len(blocks),
        "depth_slope_log10_per_block": trend.slope,
        "depth_slope_low": trend.low,
        "depth_slope_high": trend.high,
        "depth_trend": "none" if trend.is_flat else "grows with depth" if trend.slope > 0 else "shrinks with depth",
    }


def _families(points: Iterable[_Point]) -> dict[tuple[str, str, str, str], list[_Point]]:
    families: dict[tuple[str, str, str, str], list[_Point]] = defaultdict(list)
    for point in points:
        families[point.family].append(point)
    return families


def outliers(gradients: Sequence[Gradient]) -> list[Outlier]:
    """Return the tensors that stand out within their family: the same layer of every block, less the trend."""
    from diffai_lib_statistics import detrended, family_wise_threshold, robust_z

    found = []
    for _, members in sorted(_families(_points(gradients)).items()):
        if len({point.block for point in members}) < _LEAST_FAMILY:
            continue
        residuals = detrended([point.block for point in members], [point.log_size for point in members])
        threshold = family_wise_threshold(len(members), FALSE_ALARM_RATE, after_trend=True)
        floor = 0.01  # 2 %: what chance alone does to the mean of some 1,000 squares
        for point, z in zip(members, robust_z(residuals, floor), strict=True):
            if abs(z) > threshold:
                found.append(Outlier(point.gradient, float(z), threshold))
    return found


def largest_ratio(gradients: Sequence[Gradient]) -> float | None:
    """Return the largest ratio of sizes within one family; ``None`` where none has two members."""
    ratios = [
        10 ** (max(point.log_size for point in members) - min(point.log_size for point in members))
        for members in _families(_points(gradients)).values()
        if len(members) > 1
    ]
    return max(ratios, default=None)
