"""The plugin keeps the laws of the conformance kit."""

from __future__ import annotations

import numpy as np
from diffai_compare_embeddings import plugin

from diffai_core.testing import ComparatorTests, PluginTests, artifact


def _tables():
    rng = np.random.default_rng(3)
    old = {"embed_tokens.weight": rng.standard_normal((60, 8)), "lm_head.weight": rng.standard_normal((60, 8))}
    new = {name: array + 0.3 * rng.standard_normal(array.shape) for name, array in old.items()}
    return tuple(artifact({name: array.astype(np.float32) for name, array in side.items()}) for side in (old, new))


def _resized():
    rng = np.random.default_rng(4)
    old = rng.standard_normal((40, 6)).astype(np.float32)
    old[5, 2] = np.nan
    vocab = {f"t{number}": number for number in range(40)}
    moved = {token: 41 - number for token, number in vocab.items()} | {"new": 0, "other": 1}
    new = rng.standard_normal((42, 6)).astype(np.float32)
    return artifact({"wte.weight": old}, {"vocab": vocab}), artifact({"wte.weight": new}, {"vocab": moved})


class TestPlugin(PluginTests):
    plugin = plugin


class _Laws(ComparatorTests):
    plugin = plugin

    def pairs(self):
        return {"tables": _tables(), "resized": _resized()}


class TestEmbeddingAnalysis(_Laws):
    name = "embedding-analysis"


class TestSimilarityMatrix(_Laws):
    name = "similarity-matrix"


class TestClusteringChange(_Laws):
    name = "clustering-change"


del _Laws
