"""Quantised weights that are stored in parts; what their values are is tested in diffai-lib-quantization."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffai_load_pytorch.loader import open_pytorch

from diffai_core.plugin import Source

_FIXTURES = Path(__file__).parent / "fixtures"


def _packed_rows(codes):
    """Pack eight codes along the first dimension into a word, the first one low, as GPTQ does."""
    words = np.zeros((len(codes) // 8, codes.shape[1]), np.uint32)
    for place in range(8):
        words |= codes[place::8] << np.uint32(4 * place)
    return torch.from_numpy(words.view(np.int32))


@pytest.fixture
def gptq():
    """The parts of a layer of GPTQ, version 1, with zero points of 5; and its values."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 16, (64, 32)).astype(np.uint32)
    scales = rng.uniform(0.01, 0.02, (2, 32)).astype(np.float16)
    parts = {
        "fc.qweight": _packed_rows(codes),
        "fc.qzeros": _packed_rows(np.full((32, 2), 4, np.uint32)).T.contiguous(),
        "fc.scales": torch.from_numpy(scales),
        "fc.g_idx": torch.arange(64, dtype=torch.int32) // 32,
    }
    values = (codes.astype(np.float32) - 5) * np.repeat(scales.astype(np.float32), 32, axis=0)
    return parts, values.T


def test_a_quantised_weight_takes_the_place_of_its_parts(tmp_path, gptq):
    parts, values = gptq
    torch.save(parts | {"norm.weight": torch.ones(3)}, tmp_path / "pytorch_model.bin")
    config = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for path in (tmp_path, tmp_path / "pytorch_model.bin"):
        with open_pytorch(Source(path), {}) as artifact:
            assert set(artifact.tensors) == {"fc.weight", "norm.weight"}
            assert artifact.tensors["fc.weight"].stored_as == "gptq"
            assert np.array_equal(artifact.tensors["fc.weight"].read(), values)


def test_what_the_parts_leave_open_is_not_guessed(tmp_path, gptq):
    torch.save(gptq[0], tmp_path / "model.pt")
    with open_pytorch(Source(tmp_path / "model.pt"), {}) as artifact:
        assert set(artifact.tensors) == set(gptq[0])


@pytest.mark.parametrize("name", ["int8", "float8"])
def test_a_tensor_subclass_of_torchao_has_the_values_that_torchao_gives(name):
    values = torch.load(_FIXTURES / f"torchao_{name}_values.pt", weights_only=True).numpy()
    with open_pytorch(Source(_FIXTURES / f"torchao_{name}.pt"), {}) as artifact:
        assert set(artifact.tensors) == {"0.weight", "0.bias"}
        ref = artifact.tensors["0.weight"]
        assert ref.stored_as == f"{name}_scaled"
        assert np.array_equal(ref.read(), values)
        assert next(foreign.name for foreign in artifact.foreign).startswith("torchao.")
