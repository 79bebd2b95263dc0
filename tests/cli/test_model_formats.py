"""Files of every model format, as the libraries of the formats wrote them: the content decides how they are opened."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from command import report_of, run_diffai

from diffai_core import compare
from diffai_core.errors import LoadError
from diffai_core.findings import Identity

PLUGINS = Path(__file__).parents[2] / "plugins"


class Case(NamedTuple):
    """A file of a format, and the files beside it that belong to it.

    Args:
        plugin: The plugin that reads it and has it as a fixture.
        file: Its path among the fixtures.
        format: What it is read as.
        beside: Endings of the files that belong to it.
    """

    plugin: str
    file: str
    format: str
    beside: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return PLUGINS / self.plugin / "tests/fixtures" / self.file


FILES = (
    Case("diffai-load-boosting", "catboost-symmetric.json", "catboost"),
    Case("diffai-load-boosting", "lightgbm-trees.txt", "lightgbm"),
    Case("diffai-load-boosting", "xgboost-dart.json", "xgboost"),
    Case("diffai-load-boosting", "xgboost-dart.ubj", "xgboost"),
    Case("diffai-load-coreml", "network_linear4.mlmodel", "coreml"),
    Case("diffai-load-coreml", "trees.mlmodel", "coreml"),
    Case("diffai-load-hdf5", "float32.h5", "hdf5"),
    Case("diffai-load-hdf5", "float32.keras", "keras"),
    Case("diffai-load-onnx", "float.onnx", "onnx"),
    Case("diffai-load-onnx", "qdq.onnx", "onnx"),
    Case("diffai-load-openvino", "quantized.xml", "openvino", (".bin",)),
    Case("diffai-load-paddle", "nested.pdparams", "paddle-state"),
    Case("diffai-load-paddle", "pir/net.json", "paddle", (".pdiparams",)),
    Case("diffai-load-paddle", "program/net.pdiparams", "paddle", (".pdmodel",)),
    Case("diffai-load-paddle", "program/net.pdmodel", "paddle", (".pdiparams",)),
    Case("diffai-load-pickle", "pipeline.pkl", "pickle"),
    Case("diffai-load-pickle", "pipeline.skops", "skops"),
    Case("diffai-load-pytorch", "torchao_int8.pt", "pytorch"),
    Case("diffai-load-tensorflow", "frozen.pb", "tensorflow"),
    Case("diffai-load-tflite", "float.tflite", "tflite"),
    Case("diffai-load-tflite", "int8.tflite", "tflite"),
)
FOLDERS = (
    Case("diffai-load-coreml", "new_lut3groups.mlpackage", "coreml"),
    Case("diffai-load-coreml", "old_sparse.mlpackage", "coreml"),
    Case("diffai-load-paddle", "pir_branches", "paddle"),
    Case("diffai-load-tensorflow", "saved_model", "tensorflow"),
)
each_file = pytest.mark.parametrize("case", FILES, ids=lambda case: case.file)
each_folder = pytest.mark.parametrize("case", FOLDERS, ids=lambda case: case.file)


def copied(case, name, folder):
    """Copy a file under another name, and what belongs to it under the same name with its ending."""
    path = folder / name
    shutil.copy(case.path, path)
    for ending in case.beside:
        shutil.copy(case.path.with_suffix(ending), folder / f"{name.partition('.')[0]}{ending}")
    return path


@each_file
@pytest.mark.parametrize("name", ["model", "model.dat"])
def test_a_file_opens_by_its_content_without_a_suffix_and_under_a_wrong_one(tmp_path, case, name):
    report = compare(case.path, copied(case, name, tmp_path))
    assert (report.old.format, report.new.format) == (case.format, case.format)
    same = Identity.IDENTICAL_TENSORS if case.beside else Identity.IDENTICAL_FILES  # of several files names count
    assert (report.verdict.identity, report.exit_code) == (same, 0)


@each_file
def test_a_format_can_be_asked_for_on_the_command_line(tmp_path, case):
    report = report_of("--input-format", case.format, copied(case, "model", tmp_path), case.path)
    assert (report["old"]["format"], report["exit_code"]) == (case.format, 0)


@each_folder
def test_a_folder_opens_as_one_model_whatever_its_name(tmp_path, case):
    copy = Path(shutil.copytree(case.path, tmp_path / "copy"))
    report = report_of(case.path, copy)
    assert (report["old"]["format"], report["new"]["format"], report["exit_code"]) == (case.format, case.format, 0)
    assert report["old"]["n_tensors"] > 0


@each_file
def test_a_file_that_is_cut_short_is_an_error_that_names_it(tmp_path, case):
    path = copied(case, "model", tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    done = run_diffai("--input-format", case.format, path, case.path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert str(tmp_path) in done.stderr


def test_a_quantised_model_compares_with_its_float_parent_by_what_its_codes_stand_for(tmp_path):
    fixtures = PLUGINS / "diffai-load-coreml/tests/fixtures"
    report = report_of(fixtures / "network.mlmodel", fixtures / "network_linear8.mlmodel")
    changed = {found["where"]: found for found in report["findings"] if found["kind"] == "tensor_stats_changed"}
    assert set(changed) >= {"fc.weights", "conv.weights", "deconv.weights"}
    assert all(found["values"]["rel_change"] < 0.02 for name, found in changed.items() if name.endswith("weights"))
    assert report["counts"]["added"] == report["counts"]["removed"] == 0


def test_a_model_of_onnx_pairs_with_one_of_paddle_by_content(tmp_path):
    onnx = pytest.importorskip("onnx")
    paddle = PLUGINS / "diffai-load-paddle/tests/fixtures/program"
    weights = tensors_of(paddle)
    turned = {f"onnx::{i}": array.T if array.ndim == 2 else array for i, array in enumerate(weights.values())}
    initializers = [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in turned.items()]
    graph = onnx.helper.make_graph([], "net", [], [], initializers)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    report = report_of(tmp_path / "model.onnx", paddle)
    counts = report["counts"]
    assert (counts["renamed"], counts["added"], counts["removed"]) == (len(weights), 0, 0)


def tensors_of(path):
    """Return the weights of a model of PaddlePaddle."""
    from diffai_load_paddle.loader import open_paddle

    from diffai_core.plugin import Source

    with open_paddle(Source(path), {}) as artifact:
        return {name: np.array(ref.read()) for name, ref in artifact.tensors.items()}


OTHERS = [case for case in FILES if case.file in {"float.onnx", "float32.keras", "xgboost-dart.ubj"}]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.file)
def test_a_format_that_a_file_is_not_of_is_an_error_that_names_both(case):
    for asked in {case.format for case in FILES} | {"gguf", "safetensors", "orbax", "zarr", "flax", "matlab"}:
        if asked != case.format:
            with pytest.raises(LoadError) as caught:
                compare(case.path, case.path, input_format=asked)
            assert caught.value.path == str(case.path)
            assert caught.value.reason.endswith(f"; its content says {case.format}, --input-format {asked}")
