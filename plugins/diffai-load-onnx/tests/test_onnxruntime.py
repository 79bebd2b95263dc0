"""Models that onnxruntime quantised compare with the float model by name; the values are those of the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize(("name", "axis"), [("qdq", None), ("qdq_per_channel", 0)])
def test_quantised_weights_have_the_names_of_the_float_model_and_nearly_its_values(opened, name, axis):
    old, new = opened(FIXTURES / "float.onnx"), opened(FIXTURES / f"{name}.onnx")
    assert set(old.tensors) == {"conv.weight", "conv.bias", "fc.weight", "fc.bias"}
    for key, ref in old.tensors.items():
        found = new.tensors[key]
        assert found.shape == ref.shape
        assert found.quantization is not None
        assert found.quantization.scheme == ("int32_affine" if key == "conv.bias" else "int8_affine")
        np.testing.assert_allclose(found.read(), ref.read(), atol=0.02)
    assert new.tensors["conv.weight"].quantization.axis == axis
    others = {key.rsplit("_", 1)[-1] for key in new.tensors.keys() - old.tensors.keys()}
    assert others == {"scale", "point"}  # of activations


def test_weights_that_operators_take_as_integers_compare_with_the_float_model(opened):
    old, new = opened(FIXTURES / "float.onnx"), opened(FIXTURES / "qoperator.onnx")
    quantised = {key: ref for key, ref in new.tensors.items() if ref.quantization}
    assert set(quantised) == {"conv.weight", "fc.weight", "fc.bias"}
    for key, ref in quantised.items():
        assert ref.shape == old.tensors[key].shape
        np.testing.assert_allclose(ref.read(), old.tensors[key].read(), atol=0.02)
    assert (quantised["conv.weight"].quantization.axis, quantised["fc.weight"].quantization.axis) == (0, 1)
    assert new.tensors["conv.bias_quantized"].quantization is None  # its scale is a product of two others
    assert not [key for key in new.tensors if key.startswith(("conv.weight_", "fc.weight_"))]


@pytest.mark.parametrize("name", ["qdq", "qdq_per_channel"])
def test_quantised_weights_have_the_values_that_the_reference_computes(opened, name):
    model = onnx.load(FIXTURES / f"{name}.onnx")
    artifact = opened(FIXTURES / f"{name}.onnx")
    by_codes = {ref.quantization.stored[0].name: ref for ref in artifact.tensors.values() if ref.quantization}
    nodes = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in by_codes]
    assert len(nodes) == 4
    outputs = [helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None) for node in nodes]
    graph = helper.make_graph(nodes, "g", [], outputs, model.graph.initializer)
    wanted = ReferenceEvaluator(helper.make_model(graph, opset_imports=model.opset_import)).run(None, {})
    for node, values in zip(nodes, wanted, strict=True):
        np.testing.assert_array_equal(by_codes[node.input[0]].read(), values)
