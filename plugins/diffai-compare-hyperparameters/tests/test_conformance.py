"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

import numpy as np
from diffai_compare_hyperparameters import plugin

from diffai_core.testing import ComparatorTests, PluginTests, artifact


def _training(rate, step):
    rng = np.random.default_rng(step)
    weights = {f"model.{name}": rng.normal(size=(4, 3)).astype(np.float32) for name in ("a", "b")}
    state = {
        f"optimizer.state.{key}.{slot}": value
        for key in range(2)
        for slot, value in (
            ("exp_avg", rng.normal(size=(4, 3)).astype(np.float32)),
            ("exp_avg_sq", rng.random((4, 3)).astype(np.float32)),
            ("step", np.float32(step)),
        )
    }
    group = {"lr": rate, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1, "params": [0, 1]}
    tree = {
        "optimizer": {"param_groups": [group | {"decoupled_weight_decay": True, "amsgrad": False}]},
        "scheduler": {"T_max": 10, "eta_min": 0.0, "base_lrs": [0.1], "last_epoch": step, "_last_lr": [rate]},
        "args": {"lr": rate, "seed": step, "out_dir": f"runs/{step}", "hidden": [1, 2], "dropout": float("nan")},
        "loss": 1.0 / step,
    }
    return artifact({**weights, **state}, tree, roles=dict.fromkeys(state, "optimizer"))


PAIRS = {
    "one step": (_training(0.1, 3), _training(0.05, 4)),
    "a training and none": (_training(0.1, 3), artifact({"w": np.ones(3)})),
}


class TestPlugin(PluginTests):
    plugin = plugin


class TestHyperparameterComparison(ComparatorTests):
    plugin = plugin
    name = "hyperparameter-comparison"

    def pairs(self):
        return PAIRS


class TestHyperparameterImpact(ComparatorTests):
    plugin = plugin
    name = "hyperparameter-impact"

    def pairs(self):
        return PAIRS


class TestLearningRateAnalysis(ComparatorTests):
    plugin = plugin
    name = "learning-rate-analysis"
    asymmetric = "departures from schedules are those of NEW; the summary has both sides"

    def pairs(self):
        return PAIRS
