"""Filters of convolutions beside their scales are read as the weights they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_load_safetensors.loader import open_safetensors
from safetensors.numpy import save_file

from diffai_core.files import Source

CODES = np.random.default_rng(3).integers(-127, 128, (6, 2, 3, 3), dtype=np.int8)


def opened(tmp_path, scale, **others):
    path = tmp_path / "model.safetensors"
    save_file({"conv.weight": CODES, "conv.weight_scale": scale, **others}, path)
    return open_safetensors(Source(path), {})


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 1, 1, 1), (1,), ()])
def test_filters_with_a_scale_each_or_one_for_all_are_the_codes_times_it(shape, tmp_path):
    scale = np.random.default_rng(4).uniform(0.01, 0.1, shape).astype(np.float32)
    with opened(tmp_path, scale) as artifact:
        (ref,) = artifact.tensors.values()
        assert (ref.name, ref.shape, ref.stored_as) == ("conv.weight", CODES.shape, "int8_scaled")
        expected = CODES * (scale.reshape(6, 1, 1, 1) if scale.size > 1 else scale.reshape(()))
        assert np.array_equal(ref.read(), expected.astype(np.float32))
        blocks = np.concatenate([block.copy() for block in ref.blocks(80)])
        assert np.array_equal(blocks, expected.astype(np.float32).reshape(-1))


@pytest.mark.parametrize("shape", [(2,), (6, 2), (1, 6), (6, 1, 3, 1)])
def test_scales_that_fit_no_filter_leave_both_tensors_as_they_are(shape, tmp_path):
    with opened(tmp_path, np.ones(shape, np.float32)) as artifact:
        assert {ref.stored_as for ref in artifact.tensors.values()} == {"int8", "float32"}


def test_a_zero_point_beside_filters_leaves_them_as_they_are(tmp_path):
    zero = np.zeros(6, np.int8)
    with opened(tmp_path, np.ones(6, np.float32), **{"conv.weight_zero_point": zero}) as artifact:
        assert len(artifact.tensors) == 3
