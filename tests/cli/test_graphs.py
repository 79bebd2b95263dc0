"""Models with a graph, through the command line: what of it counts for the verdict and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from command import findings_of, report_of
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = {"fc.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "fc.bias": np.ones(4, np.float32)}


def write_model(path: Path, activation: str = "Relu", *, external: str = "", **more) -> Path:
    nodes = [
        helper.make_node("MatMul", ["x", "fc.weight"], ["m"], name="fc"),
        helper.make_node("Add", ["m", "fc.bias"], ["a"], name="bias"),
        helper.make_node(activation, ["a"], ["y"], name="activation"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in (("x", 3), ("y", 4))]
    tensors = [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()]
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors), **more)
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path, save_as_external_data=bool(external), location=external or None, size_threshold=0)
    return path


def test_equal_weights_in_a_container_without_a_graph_are_identical_tensors(tmp_path):
    save_file(WEIGHTS, tmp_path / "m.safetensors")
    report = report_of(tmp_path / "m.safetensors", write_model(tmp_path / "m.onnx"))
    assert (report["exit_code"], report["verdict"]["identity"]) == (0, "identical tensors")
    (found,) = findings_of(report, "graph_not_comparable").values()
    assert found["values"] == {"n_nodes": 3}


def test_equal_weights_inside_the_model_and_beside_it_are_identical_tensors(tmp_path):
    report = report_of(write_model(tmp_path / "a/m.onnx"), write_model(tmp_path / "b/m.onnx", external="m.bin"))
    assert (report["exit_code"], report["verdict"]["identity"]) == (0, "identical tensors")


@pytest.mark.parametrize("in_folders", [False, True])
def test_another_operator_makes_models_of_equal_weights_different(tmp_path, in_folders):
    old, new = write_model(tmp_path / "a/m.onnx"), write_model(tmp_path / "b/m.onnx", "Gelu", ir_version=10)
    same = write_model(tmp_path / "c/m.onnx")
    if in_folders:
        old, new, same = old.parent, new.parent, same.parent
    report = report_of(old, new)
    assert report["exit_code"] == 1
    where = "files.m.onnx/activation" if in_folders else "activation"
    assert findings_of(report, "graph_node_changed")[where]["new"] == {"op": "Gelu"}
    assert report["counts"]["identical"] == 2
    report = report_of(old, same)
    assert (report["exit_code"], report["verdict"]["identity"]) == (0, "identical files")
    assert not report["not_compared"]
