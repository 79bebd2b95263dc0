"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from diffai_compare_quantization import plugin

from diffai_core.testing import ComparatorTests, PluginTests, artifact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.testing.pairs import Pair


def _pairs() -> Mapping[str, Pair]:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((64, 96)).astype(np.float32)
    steps = np.abs(weights).max(axis=1, keepdims=True) / 127
    codes = np.rint(weights / steps).astype(np.int8)
    old = artifact({"fc.weight": weights, "fc.bias": weights[0]})
    return {
        "on a grid": (old, artifact({"fc.weight": codes * steps, "fc.bias": weights[0]})),
        "codes": (old, artifact({"fc.weight": codes, "fc.weight_scale": steps[:, 0], "fc.bias": weights[0]})),
        "cast": (old, artifact({"fc.weight": weights.astype(np.float16), "fc.bias": weights[0]})),
        "damaged": (old, artifact({"fc.weight": weights[::-1].copy(), "fc.bias": np.zeros(96, np.float32)})),
    }


class TestPlugin(PluginTests):
    plugin = plugin


class TestAnalysis(ComparatorTests):
    plugin = plugin
    name = "quantization-analysis"
    asymmetric = "it judges NEW by OLD: only one of them is quantised"

    def pairs(self) -> Mapping[str, Pair]:
        return _pairs()


class TestAnalysisWithThreshold(TestAnalysis):
    options: ClassVar = {"precision_loss_threshold": 0.001}


class TestAware(ComparatorTests):
    plugin = plugin
    name = "quantization-aware"
    asymmetric = "rounding loses something in one direction only"

    def pairs(self) -> Mapping[str, Pair]:
        return _pairs()
