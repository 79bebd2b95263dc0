"""The laws of comparators."""

from __future__ import annotations

import diffai_compare_layer_impact.plugin
import numpy as np

from diffai_core.testing import ComparatorTests, artifact


def llama(seed, change):
    """Return ten blocks whose change grows with depth."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for block in range(10):
        for role in ("q_proj", "k_proj"):
            values = rng.normal(size=(8, 6)).astype(np.float32)
            noise = np.random.default_rng(100 + block).normal(size=(8, 6)).astype(np.float32)
            tensors[f"model.layers.{block}.self_attn.{role}.weight"] = values + change * 10 ** (0.1 * block) * noise
        tensors[f"model.layers.{block}.input_layernorm.weight"] = np.ones(6, np.float32)
    return artifact(tensors, {"config": {"num_attention_heads": 4}})


class TestLayerImpact(ComparatorTests):
    plugin = diffai_compare_layer_impact.plugin

    def pairs(self):
        return {"blocks": (llama(0, 0.0), llama(0, 1e-3)), "unrelated": (llama(0, 0.0), llama(1, 0.0))}
