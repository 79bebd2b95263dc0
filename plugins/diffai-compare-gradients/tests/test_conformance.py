"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

import numpy as np
from diffai_compare_gradients import plugin

from diffai_core.testing import ComparatorTests, PluginTests, artifact


def _training(seed):
    """Return an artefact with weights, the state of Adam and of momentum, saved gradients, and awkward values."""
    rng = np.random.default_rng(seed)
    weights = {f"model.layers.{i}.fc.weight": rng.normal(size=(6, 5)).astype(np.float32) for i in range(6)}
    state = {}
    for key, weight in enumerate(weights.values()):
        state[f"optimizer.state.{key}.exp_avg"] = (rng.normal(size=weight.shape) * 10.0**key).astype(np.float32)
        state[f"optimizer.state.{key}.exp_avg_sq"] = (rng.random(weight.shape) * 100.0**key).astype(np.float32)
        state[f"optimizer.state.{key}.step"] = np.float32(7 + seed)
    state["optimizer.state.1.exp_avg_sq"][2] = 0.0
    state["optimizer.state.2.exp_avg"][0, 0] = np.nan
    state["optimizer.state.3.exp_avg_sq"][:] = np.inf
    state["optimizer.state.9.momentum_buffer"] = rng.normal(size=4)
    gradients = {f"grad.{name}": rng.normal(size=(6, 5)).astype(np.float32) for name in weights}
    groups = [{"lr": 0.1, "betas": [0.9, 0.999], "params": list(range(6))}]
    roles = dict.fromkeys(state, "optimizer") | dict.fromkeys(gradients, "gradients")
    return artifact({**weights, **state, **gradients}, {"optimizer": {"param_groups": groups}}, roles=roles)


PAIRS = {
    "two trainings": (_training(0), _training(1)),
    "a training and none": (_training(0), artifact({"w": np.ones(3)})),
}


class TestPlugin(PluginTests):
    plugin = plugin


class TestGradientAnalysis(ComparatorTests):
    plugin = plugin
    name = "gradient-analysis"
    asymmetric = "tensors and rows are those of NEW; the summary has both sides"

    def pairs(self):
        return PAIRS


class TestCompareGradients(ComparatorTests):
    plugin = plugin
    name = "compare-gradients"

    def pairs(self):
        return PAIRS
