"""The laws of comparators."""

from __future__ import annotations

import diffai_compare_architecture.plugin
import numpy as np

from diffai_core.testing import ComparatorTests, artifact

RNG = np.random.default_rng(0)
SMALL = {
    f"model.layers.{n}.mlp.{role}_proj.weight": RNG.normal(size=(6, 4)) for n in range(2) for role in ("up", "gate")
}
OTHER = {**SMALL, "model.layers.2.mlp.up_proj.weight": RNG.normal(size=(6, 4)), "model.norm.weight": np.ones(4)}


class Pairs(ComparatorTests):
    plugin = diffai_compare_architecture.plugin

    def pairs(self):
        return {"deeper": (artifact(SMALL), artifact(OTHER, {"config": {"num_attention_heads": 2}}))}


class TestArchitecture(Pairs):
    name = "architecture-comparison"


class TestEfficiency(Pairs):
    name = "param-efficiency-analysis"


class TestModelType(Pairs):
    name = "model-type"


del Pairs, ComparatorTests
