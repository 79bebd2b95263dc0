"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from diffai_compare_sparsity import plugin

from diffai_core.testing import ComparatorTests, PluginTests, artifact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.testing.pairs import Pair


def _pairs() -> Mapping[str, Pair]:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((32, 64)).astype(np.float32)
    half = weights.copy()
    half[:, 0::4] = half[:, 2::4] = 0
    rows = weights.copy()
    rows[3:9] = 0
    old = artifact({"fc.weight": weights, "conv.weight": rows.reshape(32, 16, 2, 2)})
    return {
        "pruned": (old, artifact({"fc.weight": half, "conv.weight": rows.reshape(32, 16, 2, 2)})),
        "broken mask": (artifact({"w": half}), artifact({"w": weights})),
        "emptied": (artifact({"w": weights}), artifact({"w": np.zeros_like(weights)})),
        "smaller": (old, artifact({"fc.weight": weights[:8].astype(np.float16)})),
    }


class TestPlugin(PluginTests):
    plugin = plugin


class TestSparsity(ComparatorTests):
    plugin = plugin
    name = "sparsity-analysis"
    asymmetric = "a mask that breaks is noteworthy, one that appears is not"

    def pairs(self) -> Mapping[str, Pair]:
        return _pairs()


class TestSizes(ComparatorTests):
    plugin = plugin
    name = "show-size-reduction"

    def pairs(self) -> Mapping[str, Pair]:
        return _pairs()
