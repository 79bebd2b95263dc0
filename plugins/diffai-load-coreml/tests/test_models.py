"""Models that coremltools wrote: ML programs with compressed weights, neural networks, trees, pipelines."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
WEIGHTS = EXPECTED["weights"]
SCHEMES = {
    "new_int8.mlpackage": {"int8_affine": 2, "float32": 2},
    "new_int4.mlpackage": {"int4_symmetric": 2, "float32": 2},
    "new_lut1.mlpackage": {"lut1": 2, "float32": 2},
    "new_lut3groups.mlpackage": {"lut3": 2, "float32": 2},
    "new_sparse.mlpackage": {"sparse_float32": 2, "float32": 2},
    "old_int8.mlpackage": {"int8_affine": 2, "float32": 2},
    "old_lut4.mlpackage": {"lut4": 2, "float32": 2},
    "old_lut6.mlpackage": {"lut6": 2, "float32": 2},
    "old_sparse.mlpackage": {"sparse_float32": 2, "float32": 2},
    "half.mlpackage": {"float16": 4},
    "plain.mlpackage": {"float32": 4},
    "network.mlmodel": {"float32": 19},
    "network_half.mlmodel": {"float16": 19},
    "network_linear8.mlmodel": {"uint8_linear": 19},
    "network_linear5.mlmodel": {"uint5_linear": 19},
    "network_linear4.mlmodel": {"uint4_linear": 19},
    "network_linear3.mlmodel": {"uint3_linear": 19},
    "network_symmetric.mlmodel": {"uint8_linear": 19},
    "network_lut7.mlmodel": {"lut7": 19},
    "network_lut4.mlmodel": {"lut4": 19},
    "network_lut2.mlmodel": {"lut2": 19},
}


def expected(model):
    return {
        name: np.frombuffer(base64.b64decode(data), dtype).reshape(shape)
        for name, (dtype, shape, data) in WEIGHTS[model].items()
    }


def test_every_fixture_is_checked():
    assert set(SCHEMES) == set(WEIGHTS)


@pytest.mark.parametrize("model", WEIGHTS)
def test_weights_are_those_that_coremltools_computes(opened, model):
    tensors = opened(model).tensors
    wanted = expected(model)
    assert set(tensors) == set(wanted)
    for name, array in wanted.items():
        found = tensors[name].read()
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes(), name


@pytest.mark.parametrize("model", WEIGHTS)
@pytest.mark.parametrize("max_bytes", [1, 50, 300])
def test_blocks_of_any_size_join_to_the_same_values(opened, model, max_bytes):
    for name, array in expected(model).items():
        blocks = [block.copy() for block in opened(model).tensors[name].blocks(max_bytes)]
        assert np.concatenate(blocks).tobytes() == array.tobytes()
        assert all(block.nbytes <= max_bytes or block.size == 1 for block in blocks)


@pytest.mark.parametrize("model", SCHEMES)
def test_compressed_weights_carry_their_quantization(opened, model):
    artifact = opened(model)
    found = [ref.stored_as for ref in artifact.tensors.values()]
    assert {name: found.count(name) for name in set(found)} == SCHEMES[model]
    assert artifact.not_readable == ()


def test_stored_parts_are_the_bytes_of_the_file(opened):
    ref = opened("new_int8.mlpackage").tensors["fc_weight_0_quantized"]
    codes, scale, offset = ref.quantization.stored
    assert (codes.dtype.name, scale.shape, offset.dtype.name) == ("int8", (8, 1), "int8")
    computed = (codes.read().astype(np.float32) - offset.read().astype(np.float32)) * scale.read()
    assert computed.tobytes() == ref.read().tobytes()
    assert ref.nbytes == codes.nbytes + scale.nbytes + offset.nbytes


def test_groups_and_axes_are_told(opened):
    by_axis = opened("new_int8.mlpackage").tensors["fc_weight_0_quantized"].quantization
    by_group = opened("new_int4.mlpackage").tensors["fc_weight_0_quantized"].quantization
    assert (by_axis.axis, by_axis.group_size, by_axis.bits) == (0, None, 8)
    assert (by_group.axis, by_group.group_size, by_group.bits) == (None, 2, 4)


@pytest.mark.parametrize("model", [name for name in WEIGHTS if name.endswith(".mlpackage")])
def test_the_graph_of_a_program_has_operators_and_no_constants(opened, model):
    graph = opened(model).graph
    ops = {node.op: node for node in graph.nodes}
    assert not [node.op for node in graph.nodes if node.op.startswith("const")]
    named = dict(zip(ops["linear"].attributes["arguments"], ops["linear"].inputs, strict=True))
    assert named["weight"] in WEIGHTS[model]
    assert named["bias"] in WEIGHTS[model]
    assert ops["conv"].attributes["strides"] == [1, 1]
    assert ops["conv"].attributes["pad_type"] == "same"


def test_inputs_and_outputs_of_a_program_have_type_and_shape(opened):
    graph = opened("plain.mlpackage").graph
    assert {name: (value.dtype, value.shape) for name, value in graph.inputs.items()} == {
        "x": ("float32", (1, 16)),
        "image": ("float32", (1, 6, 5, 5)),
    }
    assert {name: value.shape for name, value in graph.outputs.items()} == {"fc": (1, 8), "conv": (1, 4, 5, 5)}


def test_the_graph_of_a_network_has_layers_with_their_weights(opened):
    nodes = {node.name: node for node in opened("network.mlmodel").graph.nodes}
    assert [node.op for node in nodes.values()] == [
        *("innerProduct", "convolution", "convolution", "uniDirectionalLSTM", "loadConstant")
    ]
    assert nodes["fc"].inputs == ("x", "fc.weights", "fc.bias")
    assert nodes["fc"].outputs == ("fc",)
    assert nodes["deconv"].attributes["isDeconvolution"] is True
    assert nodes["conv"].attributes["kernelSize"] == [3, 2]


def test_trees_are_in_the_tree_by_the_names_of_the_format(opened):
    artifact = opened("trees.mlmodel")
    found = artifact.tree["treeEnsembleRegressor"]["treeEnsemble"]["nodes"]
    wanted = EXPECTED["trees"]["treeEnsembleRegressor"]["treeEnsemble"]["nodes"]
    as_json = [{key: str(value) if key.endswith("Id") else value for key, value in node.items()} for node in found]
    assert [node.get("nodeBehavior") for node in found] == [node.get("nodeBehavior") for node in wanted]
    assert [node.get("branchFeatureValue") for node in as_json] == [node.get("branchFeatureValue") for node in wanted]
    assert [node.get("nodeId") for node in as_json] == [node.get("nodeId") for node in wanted]
    assert [node.get("evaluationInfo") for node in found] == [node.get("evaluationInfo") for node in wanted]
    assert artifact.tensors["treeEnsembleRegressor.treeEnsemble.basePredictionValue"].read().tolist() == [0.5]


def test_a_layer_of_someones_own_is_listed_and_never_looked_for(opened):
    artifact = opened("custom.mlmodel")
    assert [foreign.name for foreign in artifact.foreign] == ["EvilLayer"]
    (node,) = artifact.graph.nodes
    assert node.attributes["parameters"] == {"factor": {"doubleValue": 2.5}}


def test_models_of_a_pipeline_are_read_like_models(opened):
    artifact = opened("pipeline.mlmodel")
    alone = opened("network.mlmodel")
    for name, ref in alone.tensors.items():
        if name.endswith("weights"):
            assert artifact.tensors[f"models[1].{name}"].shape == ref.shape
    assert artifact.tree["pipeline"]["names"] == ["first", "second"]
    assert [node.op for node in artifact.graph.nodes[1].attributes["body"].nodes] == [
        node.op for node in alone.graph.nodes
    ]


def test_a_model_of_a_package_opens_by_itself_and_under_another_name(opened, tmp_path):
    inner = FIXTURES / "new_int4.mlpackage/Data/com.apple.CoreML"
    shutil.copytree(inner, tmp_path / "copy")
    (tmp_path / "copy/model.mlmodel").rename(tmp_path / "copy/anything")
    assert set(opened(tmp_path / "copy/anything").tensors) == set(WEIGHTS["new_int4.mlpackage"])


def test_metadata_and_description_are_in_the_tree(opened):
    tree = opened("plain.mlpackage").tree
    assert tree["specificationVersion"] == 7
    assert tree["description"]["metadata"]["userDefined"]["com.github.apple.coremltools.version"] == "9.0"
    assert [feature["name"] for feature in tree["description"]["input"]] == ["x", "image"]
