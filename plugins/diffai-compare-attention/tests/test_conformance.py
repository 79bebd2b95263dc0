"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

import numpy as np
from diffai_compare_attention import plugin

from diffai_core.testing import ComparatorTests, PluginTests, artifact


def _transformers():
    rng = np.random.default_rng(3)
    shapes = {
        f"layers.{block}.self_attn.{role}_proj.weight": (16, 16) for block in (0, 1) for role in ("q", "k", "v", "o")
    }
    old = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    new = {name: array + np.float32(0.01) * array[::-1] for name, array in old.items()}
    tree = {"config": {"num_attention_heads": 4}}
    return artifact(old, tree), artifact(new, tree)


class TestPlugin(PluginTests):
    plugin = plugin


class _Laws(ComparatorTests):
    plugin = plugin

    def pairs(self):
        return {"transformers": _transformers()}


class TestAttentionAnalysis(_Laws):
    name = "attention-analysis"


class TestHeadImportance(_Laws):
    name = "head-importance"


class TestAttentionPatternDiff(_Laws):
    name = "attention-pattern-diff"


del _Laws
