"""Robust statistics with honest intervals; a library for comparators."""

from __future__ import annotations

from diffai_lib_statistics.groups import Welch, holm, welch
from diffai_lib_statistics.intervals import Interval, mean_interval, normal_interval, wilson
from diffai_lib_statistics.normal import normal_quantile, normal_share
from diffai_lib_statistics.outliers import MAD_TO_SIGMA, detrended, family_wise_threshold, robust_z
from diffai_lib_statistics.series import SeriesSlope, slope_interval
from diffai_lib_statistics.trend import MannKendall, Trend, mann_kendall, theil_sen

__all__ = [
    "MAD_TO_SIGMA",
    "Interval",
    "MannKendall",
    "SeriesSlope",
    "Trend",
    "Welch",
    "detrended",
    "family_wise_threshold",
    "holm",
    "mann_kendall",
    "mean_interval",
    "normal_interval",
    "normal_quantile",
    "normal_share",
    "robust_z",
    "slope_interval",
    "theil_sen",
    "welch",
    "wilson",
]
