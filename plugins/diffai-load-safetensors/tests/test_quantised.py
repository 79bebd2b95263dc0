"""Quantised weights in files and folders; what the values are is tested in diffai-lib-quantization."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

_RNG = np.random.default_rng(0)
_CODES = _RNG.integers(0, 16, (64, 32)).astype(np.uint32)
_SCALES = _RNG.uniform(0.01, 0.02, (2, 32)).astype(np.float16)


def _packed_rows(codes):
    """Pack eight codes along the first dimension into a word, the first one low, as GPTQ does."""
    words = np.zeros((len(codes) // 8, codes.shape[1]), np.uint32)
    for place in range(8):
        words |= codes[place::8] << np.uint32(4 * place)
    return words.view(np.int32)


def _parts(zero):
    """Return a layer of GPTQ, version 1: a zero point of ``zero`` is stored as 1 less."""
    stored_zero = np.full((32, 2), zero - 1, np.uint32)
    return {
        "fc.qweight": _packed_rows(_CODES),
        "fc.qzeros": np.ascontiguousarray(_packed_rows(stored_zero).T),
        "fc.scales": _SCALES,
        "fc.g_idx": np.repeat(np.arange(2, dtype=np.int32), 32),
    }


def _values(zero):
    scale = np.repeat(_SCALES.astype(np.float32), 32, axis=0)
    return ((_CODES.astype(np.float32) - zero) * scale).T


def _config(folder, **content):
    (folder / "config.json").write_text(json.dumps({"quantization_config": content}), encoding="utf-8")


def test_a_quantised_weight_takes_the_place_of_its_parts(tmp_path, open_path):
    save_file(_parts(8) | {"norm.weight": np.ones(3, np.float32)}, tmp_path / "model.safetensors")
    with open_path(tmp_path / "model.safetensors") as artifact:
        assert set(artifact.tensors) == {"fc.weight", "norm.weight"}
        ref = artifact.tensors["fc.weight"]
        assert (ref.stored_as, ref.dtype.name, ref.shape) == ("gptq", "float32", (32, 64))
        assert np.array_equal(ref.read(), _values(8))
        assert [file.path for file in artifact.files] == [str(tmp_path / "model.safetensors")]


@pytest.mark.parametrize("of", ["folder", "file", "index"])
def test_the_configuration_beside_the_weights_answers_what_they_leave_open(tmp_path, open_path, of):
    save_file(_parts(5), tmp_path / "model.safetensors")
    names = {"folder": "", "file": "model.safetensors", "index": "m.safetensors.index.json"}
    path = tmp_path / names[of]
    if of == "index":
        path.write_text(json.dumps({"weight_map": dict.fromkeys(_parts(5), "model.safetensors")}), encoding="utf-8")
    with open_path(path) as artifact:
        assert "fc.qweight" in artifact.tensors
    _config(tmp_path, quant_method="gptq", bits=4, group_size=32)
    with open_path(path) as artifact:
        assert np.array_equal(artifact.tensors["fc.weight"].read(), _values(5))


def test_a_weight_in_two_shards_is_put_together(tmp_path, open_path):
    parts = _parts(8)
    for number, names in enumerate((["fc.qweight", "fc.scales"], ["fc.qzeros", "fc.g_idx"])):
        save_file({name: parts[name] for name in names}, tmp_path / f"model-0000{number + 1}-of-00002.safetensors")
    with open_path(tmp_path) as artifact:
        assert np.array_equal(artifact.tensors["fc.weight"].read(), _values(8))


def test_a_damaged_configuration_leaves_the_parts_as_they_are_stored(tmp_path, open_path):
    save_file(_parts(5), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with open_path(tmp_path) as artifact:
        assert set(artifact.tensors) == set(_parts(5))
