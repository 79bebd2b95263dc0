"""Every statistic of the kernel, by name."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from diffai_kernel_native import distributions, matrices, sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import PairLayout
    from diffai_kernel_native.statistic import Statistic

STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {**sums.STATISTICS, **distributions.STATISTICS, **matrices.STATISTICS}
)


@cache
def statistics_of(layout: PairLayout) -> frozenset[str]:
    """Return the names of those that exist for tensors of this layout."""
    return frozenset(name for name, statistic in STATISTICS.items() if statistic.applies(layout))
