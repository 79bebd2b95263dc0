"""A quantised weight and the parts it is stored in compare part by part."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from diffai_core import compare

PARTS = {
    "a.qweight": np.arange(8 * 32, dtype=np.int32).reshape(8, 32),
    "a.qzeros": np.arange(8, dtype=np.int32).reshape(2, 4),
    "a.scales": np.ones((2, 32), np.float16),
    "a.g_idx": np.arange(64, dtype=np.int32) // 32,
}
CONFIG = {"quantization_config": {"quant_method": "gptq", "bits": 4}}


@pytest.fixture
def model(tmp_path):
    def write(name, arrays, config=None):
        (tmp_path / name).mkdir()
        save_file(arrays, tmp_path / name / "model.safetensors")
        if config:
            (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return tmp_path / name / "model.safetensors"

    return write


@pytest.mark.parametrize("turned", [False, True])
def test_equal_files_are_identical_though_a_configuration_lies_beside_one_only(model, turned):
    files = [model("with", PARTS, CONFIG), model("without", PARTS)]
    report = compare(*(reversed(files) if turned else files))
    assert report.exit_code == 0
    assert report.verdict.identity.value == "identical files"


def test_a_changed_part_is_named_where_the_weight_is_put_together_on_one_side_only(model):
    zeros = PARTS["a.qzeros"].copy()
    zeros[1, 2] += 1
    report = compare(model("with", PARTS, CONFIG), model("without", PARTS | {"a.qzeros": zeros}))
    assert report.exit_code == 1
    assert [finding.where for finding in report.findings if finding.level == "change"] == ["a.qzeros"]
    assert (report.counts.changed, report.counts.identical) == (1, 3)


def test_a_quantised_weight_is_held_whole_against_the_float_weight_of_its_name(model):
    floats = {"a.weight": np.ones((32, 64), np.float32), "b.weight": np.ones(3, np.float32)}
    report = compare(model("with", PARTS, CONFIG), model("float", floats))
    assert [finding.where for finding in report.findings if finding.kind == "tensor_stats_changed"] == ["a.weight"]
    assert (report.counts.added, report.counts.removed) == (1, 0)
