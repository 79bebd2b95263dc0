"""Models that OpenVINO wrote: constants of every type, quantised ones, bodies, names and the graph."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
CASES = [(model, name) for model, values in EXPECTED.items() for name in values]


@pytest.mark.parametrize(("model", "name"), CASES)
def test_constants_have_the_values_that_openvino_computes(opened, model, name):
    found = opened(model).tensors[name].read().astype(np.float64).reshape(-1)
    assert np.array_equal(found, np.array(EXPECTED[model][name]), equal_nan=True)


@pytest.mark.parametrize(("model", "name"), CASES)
@pytest.mark.parametrize("max_bytes", [1, 7, 24, 100])
def test_blocks_of_any_size_join_to_the_same_values(opened, model, name, max_bytes):
    ref = opened(model).tensors[name]
    blocks = [block.copy() for block in ref.blocks(max_bytes)]
    assert np.concatenate(blocks).tobytes() == ref.read().tobytes()
    fits = [block.size * ref.dtype.bits <= max_bytes * 8 or block.size <= ref.dtype.packed_group for block in blocks]
    assert all(fits)
    assert {block.dtype for block in blocks} == {ref.dtype.numpy}


def test_all_constants_are_found_and_nothing_else(opened):
    for model, values in EXPECTED.items():
        artifact = opened(model)
        assert set(artifact.tensors) == set(values)
        assert artifact.not_readable == ()


@pytest.mark.parametrize(
    ("name", "scheme", "bits", "group", "axis", "n_stored"),
    [
        ("per_channel_asym", "u8_asym", 8, None, 0, 3),
        ("per_tensor_sym", "i8_sym", 8, None, None, 2),
        ("group_asym", "u4_asym", 4, 8, None, 3),
        ("group_sym", "i4_sym", 4, 8, None, 2),
        ("normal_float", "nf4_sym", 4, 8, None, 2),
        ("last_axis", "u8_asym", 8, None, 1, 3),
        ("both_axes", "i8_sym", 8, None, None, 2),
        ("float8", "f8e4m3_sym", 8, None, 0, 2),
        ("two_bits", "u2_asym", 2, None, 0, 3),
    ],
)
def test_a_subgraph_that_unpacks_a_constant_is_its_quantization(opened, name, scheme, bits, group, axis, n_stored):
    found = opened("quantized").tensors[name].quantization
    assert (found.scheme, found.bits, found.group_size, found.axis) == (scheme, bits, group, axis)
    assert len(found.stored) == n_stored


def test_stored_parts_are_the_bytes_of_the_file(opened):
    codes, scale, zero = opened("quantized").tensors["per_channel_asym"].quantization.stored
    ref = opened("quantized").tensors["per_channel_asym"]
    computed = (codes.read().astype(np.float16) - zero.read().astype(np.float16)) * scale.read()
    assert np.array_equal(computed, ref.read())
    assert ref.nbytes == codes.nbytes + scale.nbytes + zero.nbytes == 60 + 12 + 6


def test_layers_that_only_unpack_are_no_operators(opened):
    graph = opened("quantized").graph
    assert {node.op for node in graph.nodes} == {"Result"}
    assert {node.inputs[0] for node in graph.nodes} == set(EXPECTED["quantized"])


def test_a_scale_that_two_constants_share_stays_a_tensor_too(opened, edited):
    edge = '<edge from-layer="{}" from-port="0"'
    text = (FIXTURES / "quantized.xml").read_text(encoding="utf-8")
    number = text[: text.index('name="two_bits/scale"')].rpartition('layer id="')[2].partition('"')[0]
    extra = '<layer id="999" name="user" type="Result" version="opset1"><input><port id="0" /></input></layer>'
    path = edited(
        "quantized",
        ("</layers>", f"{extra}</layers>"),
        ("</edges>", f'{edge.format(number)} to-layer="999" to-port="0" /></edges>'),
    )
    tensors = opened(path).tensors
    assert tensors["two_bits/scale"].read().tobytes() == tensors["two_bits"].quantization.stored[1].read().tobytes()


def test_codes_that_something_else_uses_too_stay_codes(opened, edited):
    text = (FIXTURES / "quantized.xml").read_text(encoding="utf-8")
    number = text[: text.index('name="float8"')].rpartition('layer id="')[2].partition('"')[0]
    extra = '<layer id="999" name="user" type="Result" version="opset1"><input><port id="0" /></input></layer>'
    path = edited(
        "quantized",
        ("</layers>", f"{extra}</layers>"),
        ("</edges>", f'<edge from-layer="{number}" from-port="0" to-layer="999" to-port="0" /></edges>'),
    )
    tensors = opened(path).tensors
    assert (tensors["float8"].dtype.name, tensors["float8"].quantization) == ("float8_e4m3fn", None)
    assert tensors["float8/scale"].dtype.name == "float32"


def test_strings_are_in_the_tree(opened):
    assert opened("every_type").tree["strings"] == {"constant.string": ["first", "", "drei ☃"]}


def test_halved_weights_have_the_name_that_they_had_before(opened):
    artifact = opened("branches")
    assert artifact.tensors["fc.weight"].dtype.name == "float16"
    assert next(node for node in artifact.graph.nodes if node.name == "fc").inputs == ("features", "fc.weight")


def test_the_graph_has_inputs_outputs_nodes_and_bodies(opened):
    graph = opened("branches").graph
    assert {name: (value.dtype, value.shape) for name, value in graph.inputs.items()} == {
        "features": ("float32", (None, "16..32")),
        "condition": ("bool", ()),
    }
    assert {name: (value.dtype, value.shape) for name, value in graph.outputs.items()} == {
        "out": ("float32", (None, 4))
    }
    choice = next(node for node in graph.nodes if node.op == "If")
    assert choice.inputs == ("condition", "fc")
    assert sorted(choice.attributes["layer"]["tensor_names"][0]) == ["a,b", "logits"]
    body = choice.attributes["then_body"]
    assert [node.op for node in body.nodes] == ["Parameter", "Add", "Result"]
    assert sorted(body.nodes[1].inputs) == ["choice/then_body/bias", "taken"]
    ports = choice.attributes["layer"]["then_port_map"]["input"]
    assert ports == {"external_port_id": "1", "internal_layer_id": "0"}


def test_the_tree_says_how_the_model_was_converted(opened):
    tree = opened("branches").tree
    assert tree["rt_info"]["conversion_parameters"] == {"framework": "pytorch"}
    assert (tree["name"], tree["version"]) == ("branches", "11")


def test_indices_are_no_weights(opened):
    tensors = opened("every_type").tensors
    roles = {name.partition(".")[2]: ref.role for name, ref in tensors.items()}
    assert {code for code, role in roles.items() if role == "buffers"} == {"i64", "i32", "u64", "u32", "boolean"}


def test_version_10_is_read_too(opened, edited):
    path = edited("every_type", ('version="11"', 'version="10"'))
    assert set(opened(path).tensors) == set(EXPECTED["every_type"])


def test_a_file_without_a_suffix_opens_with_the_weights_beside_it(opened, tmp_path):
    shutil.copy(FIXTURES / "branches.xml", tmp_path / "model")
    shutil.copy(FIXTURES / "branches.bin", tmp_path / "model.bin")
    assert set(opened(tmp_path / "model").tensors) == set(EXPECTED["branches"])


def test_constants_of_one_name_are_kept_apart(opened, edited):
    changes = (('name="constant.u8"', 'name="same"'), ('name="constant.i8"', 'name="same"'))
    tensors = opened(edited("every_type", *changes)).tensors
    assert {ref.dtype.name for name, ref in tensors.items() if name.startswith("same")} == {"uint8", "int8"}
    assert {"same", "same#2"} < set(tensors)


def test_constants_with_one_place_are_counted_once(opened, edited):
    text = (FIXTURES / "every_type.xml").read_text(encoding="utf-8")
    places = {
        code: text.partition(f'element_type="{code}" shape="9" offset="')[2].partition('"')[0] for code in ("i8", "u8")
    }
    path = edited(
        "every_type",
        (
            f'element_type="u8" shape="9" offset="{places["u8"]}"',
            f'element_type="i8" shape="9" offset="{places["i8"]}"',
        ),
    )
    tensors = opened(path).tensors
    assert tensors["constant.u8"].storage == tensors["constant.i8"].storage


def test_a_model_without_constants_needs_no_weights(opened, tmp_path):
    (tmp_path / "m.xml").write_text('<net name="empty" version="11"><layers /><edges /></net>', encoding="utf-8")
    artifact = opened(tmp_path / "m.xml")
    assert (dict(artifact.tensors), len(artifact.files)) == ({}, 1)
