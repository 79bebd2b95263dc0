"""Which tensor stands out among its peers of the same role, after removing the trend over depth."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from diffai_lib_statistics import detrended, family_wise_threshold, robust_z, theil_sen

from diffai_compare_anomalies.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from diffai_compare_anomalies.sides import SideTensor

RATE = 0.05
"""Accepted probability of a false alarm in one family: one metric of the tensors of one role."""

_FEWEST = 5
_RESOLUTION = 0.005
"""Least MAD of a logarithm: peers that differ by less than about 1 % are all the same."""

_GUMBEL_MEDIAN, _GUMBEL_MAD = 0.36651292058166435, 0.7670496517
"""Median and MAD of the standard Gumbel distribution."""

_KURTOSIS_ELEMENTS = 256


class Families(NamedTuple):
    """What the comparison among peers found.

    Args:
        flags: Tensors that stand out.
        n: Families that were looked at: metrics times roles with 5 tensors or more.
        n_tensors: Tensors with enough peers.
    """

    flags: tuple[Flag, ...]
    n: int
    n_tensors: int


def _log_rms(tensor: SideTensor) -> float | None:
    return math.log(tensor.centred.rms) if tensor.centred.rms else None


def _log_peak(tensor: SideTensor) -> float | None:
    return math.log(tensor.max_abs / tensor.centred.rms) if tensor.centred.rms and tensor.max_abs else None


def _log_kurtosis(tensor: SideTensor) -> float | None:
    found = tensor.higher.ex_kurtosis
    return math.log(found + 3) if found is not None and tensor.counts.n >= _KURTOSIS_ELEMENTS else None


class _Metric(NamedTuple):
    """What is compared among peers; the peaks of sound tensors are ``skewed`` upwards, and only high ones matter."""

    measure: Callable[[SideTensor], float | None]
    name: str
    skewed: bool


_METRICS = {
    "log_rms": _Metric(_log_rms, "root mean square", skewed=False),
    "log_absmax_over_rms": _Metric(_log_peak, "largest value over root mean square", skewed=True),
    "log_kurtosis": _Metric(_log_kurtosis, "kurtosis", skewed=True),
}


def peer_flags(tensors: Iterable[SideTensor]) -> Families:
    """Return the tensors whose size, peak or kurtosis is unlike that of their peers.

    Peers are the tensors of one layer of a block (``self_attn.q_proj.weight``) in all blocks of a stack.
    """
    families: dict[Hashable, list[SideTensor]] = defaultdict(list)
    for tensor in tensors:
        if tensor.can_vary:
            families[_family(tensor)].append(tensor)
    large = [family for family in families.values() if len(family) >= _FEWEST]
    flags: list[Flag] = []
    for family in large:
        for metric in _METRICS:
            flags += _outliers(family, metric)
    return Families(tuple(flags), len(large) * len(_METRICS), sum(map(len, large)))


def _family(tensor: SideTensor) -> Hashable:
    place = tensor.place
    in_block = place.block is not None
    leaf = place.leaf if in_block and place.leaf != str(place.block) else _without_digits(place.leaf)
    prefix, inner = place.prefix if in_block else "", _without_digits(place.inner)
    return tensor.ref.role, prefix, inner, leaf, place.role, place.part, len(tensor.ref.shape)


def _without_digits(name: str) -> str:
    return "".join(letter for letter in name if not letter.isdigit())


def _outliers(family: Sequence[SideTensor], metric: str) -> Iterator[Flag]:
    measure, name, skewed = _METRICS[metric]
    measured = [(tensor, value) for tensor in family if (value := measure(tensor)) is not None]
    if len(measured) < _FEWEST:
        return
    values = np.asarray([value for _, value in measured])
    depth = np.asarray([_depth(tensor, index) for index, (tensor, _) in enumerate(measured)])
    has_trend = _has_trend(depth, values)
    residuals = detrended(depth, values) if has_trend else values - np.median(values)
    z = _peak_z(residuals) if skewed else robust_z(residuals, floor=_RESOLUTION)
    threshold = family_wise_threshold(len(values), RATE, after_trend=has_trend)
    middle = float(np.median(values))
    for (tensor, value), score in zip(measured, z.tolist(), strict=True):
        if score > threshold or (score < -threshold and not skewed):
            factor = math.exp(value - middle)
            message = (
                f"its {name} is {factor:.3g} times the median of its {len(values)} peers, {abs(score):.1f} robust "
                f"standard deviations off{' the trend over depth' if has_trend else ''}"
            )
            more = {metric: value, "ratio_to_median": factor, "n_peers": len(values), "detrended": has_trend}
            yield Flag(tensor.key, f"outlying_{metric}", score, message, 0.0, threshold, "calibrated", "measured", more)


def _peak_z(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores of peaks as if they were normal: logarithms of peaks follow Gumbel's law, which is skewed.

    Location from the median, scale from the median distance of the upper half (or of all, if that is larger).
    """
    from scipy.special import ndtri

    upper = residuals[residuals > 0]
    spread = max(float(np.median(np.abs(residuals))), float(np.median(upper)) if len(upper) else 0.0, _RESOLUTION)
    reduced = residuals * (_GUMBEL_MAD / spread) + _GUMBEL_MEDIAN
    above = np.maximum(-np.expm1(-np.exp(-np.maximum(reduced, -5.0))), np.finfo(float).tiny)
    scores: NDArray[np.float64] = -ndtri(above)
    return scores


def _depth(tensor: SideTensor, index: int) -> float:
    return float(index if tensor.place.block is None else tensor.place.block)


def _has_trend(depth: NDArray[np.float64], values: NDArray[np.float64]) -> bool:
    """Whether the values rise or fall over depth; without a trend the stricter table of residuals is not needed."""
    return bool(np.ptp(depth) > 0) and not theil_sen(depth, values).is_flat
