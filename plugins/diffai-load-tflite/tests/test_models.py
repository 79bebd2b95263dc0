"""Models that TensorFlow 2.21 made, held against what TensorFlow Lite itself reads from them."""

from __future__ import annotations

import math
import pickle
import zipfile
import zlib

import numpy as np
import pytest

CONVERTED = ("float.tflite", "float16.tflite", "dynamic.tflite", "int8.tflite", "control.tflite")
GRAPH_OPS = {
    "float.tflite": ["CONV_2D", "MEAN", "FULLY_CONNECTED"],
    "float16.tflite": ["DEQUANTIZE", "DEQUANTIZE", "DEQUANTIZE", "CONV_2D", "MEAN", "FULLY_CONNECTED"],
    "int8.tflite": ["QUANTIZE", "CONV_2D", "MEAN", "FULLY_CONNECTED", "DEQUANTIZE"],
}


def codes_of(ref):
    """Return the elements as they are stored."""
    return (ref.quantization.stored[0] if ref.quantization else ref).read()


def formula(*shape):
    return (np.sin(0.37 * np.arange(math.prod(shape))) / 2).astype(np.float32).reshape(shape)


@pytest.mark.parametrize("name", CONVERTED)
def test_constants_are_bit_for_bit_those_that_the_interpreter_reads(opened, expected, name):
    tensors = opened(name).tensors
    values = {key.split("|")[1]: v for key, v in expected.items() if key.startswith(f"{name}|") and key.count("|") == 1}
    assert values
    assert tensors.keys() == values.keys() or name == "control.tflite"  # where other subgraphs have constants, too
    for key, array in values.items():
        found = codes_of(tensors[key])
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("name", ["dynamic.tflite", "int8.tflite"])
def test_scales_and_zero_points_are_stored_parts(opened, expected, name):
    quantized = {key: ref for key, ref in opened(name).tensors.items() if ref.quantization}
    assert quantized.keys() == {key.split("|")[1] for key in expected if key.startswith(name) and "|scale" in key}
    for key, ref in quantized.items():
        _, scale, zero_point = ref.quantization.stored
        assert scale.read().tolist() == expected[f"{name}|{key}|scale"].tolist()
        assert zero_point.read().tolist() == expected[f"{name}|{key}|zero_point"].tolist()
        assert ref.quantization.bits == ref.quantization.stored[0].dtype.bits
        assert ref.nbytes == sum(part.nbytes for part in ref.quantization.stored)


def test_dequantised_values_are_bit_for_bit_those_of_the_reference_kernel(opened, expected):
    tensors = opened("dequantize.tflite").tensors
    assert len(tensors) == 6
    for key, ref in tensors.items():
        wanted = expected[f"dequantize.tflite|{key}|values"]
        assert (ref.dtype.name, ref.shape) == ("float32", wanted.shape)
        for size in (1, 4, 12, 56, 400, 1 << 20):
            found = np.concatenate([block.copy() for block in ref.blocks(size)])
            assert found.tobytes() == wanted.tobytes()


def test_blocks_of_a_row_have_a_scale_each(opened, expected):
    ref = opened("blockwise.tflite").tensors["weights"]
    assert (ref.quantization.scheme, ref.quantization.bits, ref.quantization.group_size) == ("int4_blockwise", 4, 32)
    codes = (np.arange(8 * 64) % 16 - 8).astype(np.float32).reshape(8, 64)
    scales = ((np.arange(16) + 1).reshape(8, 2) / 32).astype(np.float32)
    for size in (1, 4, 20, 256, 1 << 20):
        found = np.concatenate([block.copy() for block in ref.blocks(size)]).reshape(ref.shape)
        assert np.array_equal(found, codes * np.repeat(scales, 32, axis=1))
    # XNNPACK rounds on the way
    assert np.allclose(found, expected["blockwise.tflite|weights"], rtol=1e-6, atol=1e-6)


def test_schemes_name_type_and_axis(opened):
    found = {
        key: (ref.quantization.scheme, ref.quantization.bits, ref.quantization.axis)
        for key, ref in opened("dequantize.tflite").tensors.items()
    }
    assert found == {
        "int8_tensor": ("int8_affine", 8, None),
        "uint8_tensor": ("uint8_affine", 8, None),
        "int16_tensor": ("int16_affine", 16, None),
        "int8_first": ("int8_affine", 8, 0),
        "int8_middle": ("int8_affine", 8, 1),
        "int8_last": ("int8_affine", 8, 2),
    }


def test_quantised_weights_are_within_half_a_step_of_those_that_were_converted(opened):
    weights = {(40, 32): formula(32, 40).T, (32, 3, 3, 2): formula(3, 3, 2, 32).transpose(3, 0, 1, 2)}
    for name, n_quantized in (("dynamic.tflite", 1), ("int8.tflite", 2)):
        tensors = [ref for ref in opened(name).tensors.values() if ref.quantization and ref.shape in weights]
        assert len(tensors) == n_quantized
        for ref in tensors:
            error = np.abs(ref.read() - weights[ref.shape]).reshape(ref.shape[0], -1).max(axis=1)
            assert (error <= 0.501 * ref.quantization.stored[1].read()).all()


def test_sparse_constants_are_spread_as_the_interpreter_spreads_them(opened, expected):
    tensors = opened("sparse.tflite").tensors
    assert tensors.keys() == {"rows", "blocks"}
    for key, ref in tensors.items():
        wanted = expected[f"sparse.tflite|{key}"]
        assert np.count_nonzero(wanted)
        for size in (1, 8, 48, 1 << 20):
            found = np.concatenate([block.copy() for block in ref.blocks(size)]).reshape(ref.shape)
            assert found.tobytes() == wanted.tobytes()


def test_dequantised_tensors_can_be_read_by_another_process(opened, expected):
    for name in ("dequantize.tflite", "sparse.tflite"):
        for ref in opened(name).tensors.values():
            assert pickle.loads(pickle.dumps(ref)).read().tobytes() == ref.read().tobytes()


@pytest.mark.parametrize("name", GRAPH_OPS)
def test_operators_are_named_in_order(opened, name):
    assert [node.op for node in opened(name).graph.nodes] == GRAPH_OPS[name]


def test_options_of_a_convolution_have_the_names_of_the_schema(opened):
    node = opened("float.tflite").graph.nodes[0]
    assert node.attributes == {
        "padding": "SAME",
        "stride_w": 2,
        "stride_h": 2,
        "fused_activation_function": "RELU",
        "dilation_w_factor": 1,
        "dilation_h_factor": 1,
        "quantized_bias_type": "float32",
    }


def test_edges_inputs_and_outputs_go_by_tensor_name(opened):
    artifact = opened("float.tflite")
    graph = artifact.graph
    assert [(value.dtype, value.shape) for value in graph.inputs.values()] == [("float32", (1, 8, 8, 2))]
    assert [(value.dtype, value.shape) for value in graph.outputs.values()] == [("float32", (1, 40))]
    known = {*artifact.tensors, *graph.attributes["values"], ""}
    assert {name for node in graph.nodes for name in (*node.inputs, *node.outputs)} <= known
    assert graph.nodes[0].inputs[0] in graph.inputs
    assert graph.nodes[-1].outputs[0] in graph.outputs
    assert graph.attributes["operator_versions"].keys() == {"CONV_2D", "MEAN", "FULLY_CONNECTED"}


def test_ranges_and_steps_of_activations_are_in_the_tree(opened):
    artifact = opened("int8.tflite")
    found = artifact.tree["quantization"]
    first = next(iter(artifact.graph.nodes)).outputs[0]
    assert found[first].keys() == {"scale", "zero_point"}
    assert len(found[first]["scale"]) == 1
    assert not found.keys() & artifact.tensors.keys()


def test_signatures_metadata_and_description_are_in_the_tree(opened):
    tree = opened("control.tflite").tree
    assert tree["version"] == 3
    assert tree["description"] == "MLIR Converted."
    assert set(tree["signatures"]) == {"grow", "name"}
    grow, name = tree["signatures"]["grow"], tree["signatures"]["name"]
    assert (list(grow["inputs"]), list(grow["outputs"])) == (["x"], ["y"])
    assert (list(name["inputs"]), list(name["outputs"])) == (["index"], ["text"])
    assert grow["subgraph"] != name["subgraph"]
    assert tree["metadata"]["min_runtime_version"].startswith(("1.", "2."))


def test_files_packed_behind_a_model_are_in_the_tree(opened, fixture_bytes, tmp_path):
    path = tmp_path / "with_labels.tflite"
    path.write_bytes(fixture_bytes("float.tflite"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
        archive.writestr("empty", "")
    artifact = opened(path)
    crc32 = f"{zlib.crc32(b'cat' + bytes([10]) + b'dog' + bytes([10])):08x}"
    assert artifact.tree["attached_files"] == {
        "labels.txt": {"bytes": 8, "crc32": crc32},
        "empty": {"bytes": 0, "crc32": "00000000"},
    }
    assert artifact.tensors.keys() == opened("float.tflite").tensors.keys()


def test_texts_are_in_the_tree(opened):
    assert [found["values"] for found in opened("control.tflite").tree["strings"].values()] == [["cat", "dög", ""]]


def test_bodies_of_loops_and_branches_are_subgraphs(opened):
    graph = opened("control.tflite").graph
    assert {"WHILE", "IF"} <= {node.op for node in graph.nodes}
    loop = next(node for node in graph.nodes if node.op == "WHILE")
    others = list(graph.attributes["subgraphs"].values())
    body = others[loop.attributes["body_subgraph_index"] - 1]
    condition = others[loop.attributes["cond_subgraph_index"] - 1]
    assert {"MUL", "ADD"} <= {node.op for node in body.nodes}
    assert {"SUM", "LESS"} <= {node.op for node in condition.nodes}
    assert [value.dtype for value in condition.outputs.values()] == ["bool"]
