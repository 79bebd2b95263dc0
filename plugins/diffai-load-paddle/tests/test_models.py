"""Models and checkpoints that PaddlePaddle wrote."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from diffai_core.plugin import dtype

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
PARAMETERS = set(EXPECTED["program"])


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("max_bytes", [1, 20, 1 << 20])
def test_tensors_are_those_that_paddle_loads(opened, name, max_bytes):
    tensors = opened(name).tensors
    assert set(tensors) == set(EXPECTED[name])
    for key, (kind, shape, data) in EXPECTED[name].items():
        ref = tensors[key]
        assert (ref.dtype.name, ref.shape) == (kind, tuple(shape))
        blocks = [block.copy() for block in ref.blocks(max_bytes)]
        assert b"".join(block.tobytes() for block in blocks) == base64.b64decode(data)
        assert {block.dtype for block in blocks} == {dtype(kind).numpy}
        assert ref.read().tobytes() == base64.b64decode(data)


@pytest.mark.parametrize("kind", ["pir", "program"])
def test_a_model_opens_by_folder_program_and_parameters(opened, kind):
    program = next(path.name for path in (FIXTURES / kind).iterdir() if path.suffix in {".json", ".pdmodel"})
    by_folder, by_program, by_parameters = (
        opened(FIXTURES / kind),
        opened(FIXTURES / kind / program),
        opened(FIXTURES / kind / "net.pdiparams"),
    )
    assert list(by_folder.tensors) == list(by_program.tensors) == list(by_parameters.tensors)
    assert by_folder.graph == by_program.graph == by_parameters.graph


def test_parameters_alone_are_named_by_their_place(opened, tmp_path):
    shutil.copy(FIXTURES / "program/net.pdiparams", tmp_path / "weights")
    artifact = opened(tmp_path / "weights")
    assert list(artifact.tensors) == [str(place) for place in range(len(PARAMETERS))]
    assert artifact.graph is None
    by_name = [opened("program").tensors[name].read().tobytes() for name in sorted(PARAMETERS)]
    assert [ref.read().tobytes() for ref in artifact.tensors.values()] == by_name


def test_json_of_another_kind_beside_parameters_is_left_alone(opened, tmp_path):
    shutil.copy(FIXTURES / "pir/net.pdiparams", tmp_path / "net.pdiparams")
    (tmp_path / "net.json").write_text('{"epochs": 3}', encoding="utf-8")
    assert next(iter(opened(tmp_path / "net.pdiparams").tensors)) == "0"


def test_a_program_without_its_parameters_says_so(opened, tmp_path):
    shutil.copy(FIXTURES / "program/net.pdmodel", tmp_path / "net")
    artifact = opened(tmp_path / "net")
    assert [lost.where for lost in artifact.not_readable] == ["parameters"]
    assert artifact.graph.nodes[0].op == "matmul_v2"


@pytest.mark.parametrize("kind", ["pir", "program"])
def test_the_graph_has_operators_inputs_and_outputs(opened, kind):
    graph = opened(kind).graph
    assert {name: (value.dtype, value.shape) for name, value in graph.inputs.items()} == {
        "x": ("float32", (None, 4)),
        "image": ("float32", (None, 2, 5, 5)),
    }
    assert sorted(value.shape for value in graph.outputs.values()) == [(None, 3), (None, 3, 4, 4)]
    conv = next(node for node in graph.nodes if "conv2d" in node.op)
    assert "conv2d_0.w_0" in conv.inputs
    assert (conv.attributes["strides"], conv.attributes["groups"]) == ([1, 1], 1)
    assert {name for node in graph.nodes for name in node.inputs} >= PARAMETERS


@pytest.mark.parametrize("kind", ["pir", "program"])
def test_where_an_operator_was_made_is_left_out(opened, kind):
    attributes = {name for node in opened(kind).graph.nodes for name in node.attributes}
    assert not attributes & {"op_callstack", "struct_name", "op_role", "op_namescope"}


def test_states_of_the_optimizer_and_statistics_have_their_role(opened):
    assert {ref.role for ref in opened("optimizer.pdopt").tensors.values()} == {"optimizer"}
    roles = {name: ref.role for name, ref in opened("state.pdparams").tensors.items()}
    assert {name for name, role in roles.items() if role == "buffers"} == {"bn._mean", "bn._variance"}
    assert roles["fc.weight"] == "weights"


def test_what_is_no_tensor_is_in_the_tree(opened):
    tree = opened("nested.pdparams").tree
    assert (tree["epoch"], tree["history"], tree["none"]) == (3, [0.5, 0.25], None)
    assert tree["parameter_names"]["model.fc.weight"] == "linear_0.w_0"
    structured = opened("state.pdparams").tree["StructuredToParameterName@@"]
    assert structured["fc.weight"] == "linear_0.w_0"


def test_nothing_is_foreign_in_what_paddle_saves(opened):
    for name in EXPECTED:
        assert opened(name).foreign == ()


def test_checkpoints_in_single_precision_compare_with_models_by_content(opened):
    state, model = opened("state.pdparams").tensors, opened("pir").tensors
    by_content = {ref.read().tobytes() for ref in state.values()}
    assert all(ref.read().tobytes() in by_content for ref in model.values())


def test_bfloat16_is_what_numpy_calls_uint16(opened):
    ref = opened("single.pdtensor").tensors["tensor"]
    assert ref.dtype.name == "bfloat16"
    assert ref.read().astype(np.float32).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_bodies_of_branches_and_loops_are_graphs(opened):
    graph = opened("pir_branches").graph
    branch = next(node for node in graph.nodes if node.op == "if")
    loop = next(node for node in graph.nodes if node.op == "while")
    sides = [branch.attributes[f"region {side}"] for side in (0, 1)]
    assert [[node.op for node in side.nodes][:2] for side in sides] == [["matmul", "add"]] * 2
    assert sides[0].nodes[0].inputs == ("x", "linear_1.w_0")
    assert sides[1].nodes[0].inputs == ("x", "linear_2.w_0")
    assert sides[0].nodes[-1].op == "cf::yield"
    body = loop.attributes["region 0"]
    assert {name: (value.dtype, value.shape) for name, value in body.inputs.items()} == {
        "%-1": ("int64", (1,)),
        "%-2": ("float32", (None, 4)),
    }
