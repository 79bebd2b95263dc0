"""Small models with planted changes."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
from diffai_compare_review import plugin

from diffai_core.plugin import ComparatorSpec
from diffai_core.testing import artifact
from diffai_core.testing.running import run_comparator
from diffai_core.testing.subject import default_options, only

BF16 = ml_dtypes.bfloat16


def transformer(seed=0, width=64, blocks=4, vocab=100, dtype=np.float32):
    """Return the tensors of a small decoder with weights of uneven rows and columns, as trained ones are."""
    rng = np.random.default_rng(seed)

    def matrix(rows, columns):
        shape = np.exp(0.3 * rng.standard_normal((rows, 1))) * np.exp(0.3 * rng.standard_normal((1, columns)))
        return (0.02 * shape * rng.standard_normal((rows, columns))).astype(dtype)

    tensors = {"model.embed_tokens.weight": matrix(vocab, width)}
    for block in range(blocks):
        stem = f"model.layers.{block}"
        for part in "qkvo":
            tensors[f"{stem}.self_attn.{part}_proj.weight"] = matrix(width, width)
            tensors[f"{stem}.self_attn.{part}_proj.bias"] = (0.01 * rng.standard_normal(width)).astype(dtype)
        tensors[f"{stem}.mlp.up_proj.weight"] = matrix(3 * width, width)
        tensors[f"{stem}.mlp.down_proj.weight"] = matrix(width, 3 * width)
        tensors[f"{stem}.input_layernorm.weight"] = (1 + 0.1 * rng.standard_normal(width)).astype(dtype)
    tensors["model.norm.weight"] = (1 + 0.1 * rng.standard_normal(width)).astype(dtype)
    tensors["lm_head.weight"] = matrix(vocab, width)
    return tensors


def trained(tensors, rel=0.03, seed=1, only=""):
    """Return weights moved by a change of full rank, of those whose name holds ``only``."""
    rng = np.random.default_rng(seed)

    def moved(value):
        noise = rng.standard_normal(value.shape) * np.std(value.astype(np.float64))
        return (value.astype(np.float64) + rel * noise).astype(value.dtype)

    return {key: moved(value) if only in key else value for key, value in tensors.items()}


def matrices(tensors, change):
    """Return the tensors with every matrix of the blocks changed."""
    return {key: change(value) if value.ndim > 1 and "layers" in key else value for key, value in tensors.items()}


def compared(old, new, findings=(), needs=("changes", "moments", "extrema"), scope="changed"):
    """Return two sides after the pass, with what other comparators found."""
    seen = []
    spec = ComparatorSpec("probe", "Probe.", f"{__name__}:_probe", needs=needs, scope=scope)
    sides = [side if hasattr(side, "tensors") else artifact(side) for side in (old, new)]
    run_comparator(spec, *sides, {"seen": seen})
    return replace(seen[0], findings=tuple(findings), mapper=map)


def _probe(comparison, options):
    options["seen"].append(comparison)
    return ()


def run(old, new, name="change", **options):
    """Return all findings of one comparator; sides are tensors or artefacts."""
    sides = [side if hasattr(side, "tensors") else artifact(side) for side in (old, new)]
    spec = only(plugin, ComparatorSpec, name)
    return run_comparator(spec, *sides, {**default_options(spec), **options})


def named(old, new):
    """Return the one finding that names the change, or ``None``."""
    found = run(old, new)
    assert len(found) <= 1
    return found[0] if found else None


def change_of(old, new):
    """Return the class of the change."""
    finding = named(old, new)
    return None if finding is None else finding.values["change"]
