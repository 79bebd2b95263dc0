"""Makes attention layers, and runs one analysis on them."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_compare_attention.plugin import diffai_comparators

from diffai_core.registry import Registered
from diffai_core.run import Settings, compare_artifacts
from diffai_core.testing import artifact

SPECS = {
    spec.name: Registered(spec, "compare-attention", "diffai-compare-attention", "0.1.0")
    for spec in diffai_comparators()
}


@pytest.fixture
def analyse():
    """Return a function that gives the one summary of an analysis."""

    def run(old, new, name="attention-analysis", tree=None, *, new_tree=None, label="memory", **options):
        sides = [
            artifact(tensors, config or {}, name=label)
            for tensors, config in ((old, tree), (new, tree if new_tree is None else new_tree))
        ]
        given = {name: {"num_heads": 0, "num_kv_heads": 0} | options}
        report = compare_artifacts(*sides, (SPECS[name],), Settings(plugin_options=given))
        errors = [finding.message for finding in report.findings if finding.level == "error"]
        assert not errors
        (finding,) = (finding for finding in report.findings if finding.kind == name.replace("-", "_"))
        assert finding.where == ""
        assert finding.level == "info"
        return finding

    return run


@pytest.fixture
def make_layers():
    """Return a function that makes the matrices of a transformer's attention, by their Llama names."""

    def make(seed=0, n_layers=2, width=32, n_heads=4, n_kv=4, dim=8, *, bias=False):
        rng = np.random.default_rng(seed)
        found = {}
        for block in range(n_layers):
            shapes = {"q": (n_heads * dim, width), "k": (n_kv * dim, width), "v": (n_kv * dim, width)}
            for role, shape in (shapes | {"o": (width, n_heads * dim)}).items():
                stem = f"model.layers.{block}.self_attn.{role}_proj"
                found[f"{stem}.weight"] = (rng.standard_normal(shape) / width**0.5).astype(np.float32)
                if bias and role != "o":
                    found[f"{stem}.bias"] = rng.standard_normal(shape[0]).astype(np.float32)
        return found

    return make
