"""Files that TensorFlow 2.21 made, held against what TensorFlow itself reads from them."""

from __future__ import annotations

import math
import pickle
import shutil

import numpy as np
import pytest

from diffai_core.dtypes import dtype
from diffai_core.testing.arrays import differences

CHECKPOINTS = ("types/model.ckpt", "shards/model", "slices/model", "training/ckpt-1", "training/ckpt-2")
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
NOT_SAVED_AS_CONSTANT = {"float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"}


def formula(*shape):
    return (np.sin(0.37 * np.arange(math.prod(shape))) / 2).astype(np.float32).reshape(shape)


def bits(array):
    """Return the elements with unused bits cleared: what ml_dtypes leaves open."""
    kind = dtype(array.dtype.name)
    return array.view(np.uint8) & np.uint8((1 << kind.bits) - 1) if kind.bits < 8 else array


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_variables_are_bit_for_bit_those_that_tensorflow_reads(opened, expected, name):
    tensors = opened(f"{name}.index").tensors
    wanted = expected(name)
    assert tensors.keys() == wanted.keys()
    for key, array in wanted.items():
        found = tensors[key].read()
        assert found.dtype == array.dtype
        assert not differences(bits(array), bits(found)), key


def test_every_type_that_tensorflow_saves_is_there(expected):
    names = {key.partition("/")[0] for key in expected("types/model.ckpt")}
    assert {"bfloat16", "float8_e4m3b11fnuz", "int4", "uint2", "complex128", "bool", "float4_e2m1fn"} <= names
    assert len(names) == 25


@pytest.mark.parametrize("name", ["rows", "columns", "both"])
def test_partitioned_variables_are_put_together_in_blocks_of_any_size(opened, expected, name):
    ref = opened("slices/model.index").tensors[name]
    wanted = expected("slices/model")[name]
    for size in (1, 2, 3, 8, 24, 100, 1600, 1 << 20):
        found = np.concatenate([block.copy() for block in ref.blocks(size)]).reshape(ref.shape)
        assert not differences(wanted, found)
        assert max(block.nbytes for block in ref.blocks(size)) <= max(size, wanted.itemsize)


def test_tensors_that_are_no_plain_bytes_can_be_read_by_another_process(opened, expected):
    for name in ("slices/model.index", "types/model.ckpt.index", "frozen.pb"):
        for key, ref in opened(name).tensors.items():
            found = pickle.loads(pickle.dumps(ref)).read()
            assert not differences(bits(ref.read()), bits(found)), key


def test_texts_are_in_the_tree(opened):
    assert opened("types/model.ckpt.index").tree["strings"] == {
        "text/scalar": "hëllo",
        "text/list": {"shape": [4], "values": ["a", "", b"\xff\xfe", "long " * 60]},
    }


@pytest.mark.parametrize("name", ["types/model.ckpt.index", "types/model.ckpt.data-00000-of-00001", "types"])
def test_index_data_file_and_folder_open_the_same_checkpoint(opened, name):
    assert [*opened(name).tensors] == [*opened("types/model.ckpt.index").tensors]


def test_a_folder_of_several_checkpoints_opens_the_one_that_its_state_file_calls_the_latest(opened, expected):
    artifact = opened("training")  # whose state file names /somewhere/else/ckpt-1
    key = f"layer/kernel{SUFFIX}"
    assert artifact.tensors[key].read().tobytes() == expected("training/ckpt-1")[key].tobytes()
    assert [item.where for item in artifact.not_readable] == ["ckpt-2.index"]
    assert opened("training/checkpoint").tensors.keys() == artifact.tensors.keys()


def test_a_folder_of_several_checkpoints_without_a_state_file_is_an_error_that_lists_them(opened, fixtures, tmp_path):
    folder = shutil.copytree(fixtures / "training", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint"))
    with pytest.raises(Exception, match=r"holds 2 checkpoints.*pass one of ckpt-1.index, ckpt-2.index"):
        opened(folder)


def test_slots_of_the_optimizer_have_its_role(opened):
    tensors = opened("training/ckpt-2.index").tensors
    assert {key.removesuffix(SUFFIX): ref.role for key, ref in tensors.items()} == {
        "layer/kernel": "weights",
        "layer/kernel/.OPTIMIZER_SLOT/optimizer/m": "optimizer",
        "layer/kernel/.OPTIMIZER_SLOT/optimizer/v": "optimizer",
        "optimizer/beta1_power": "optimizer",
        "optimizer/beta2_power": "optimizer",
        "save_counter": "buffers",
    }


def test_the_graph_of_objects_names_the_variables_behind_the_keys(opened):
    objects = opened("training/ckpt-1.index").tree["objects"]
    assert objects["layer/kernel"] == {
        "attributes": {"VARIABLE_VALUE": {"full_name": "weights", "key": f"layer/kernel{SUFFIX}"}}
    }
    slot = objects["layer/kernel/.OPTIMIZER_SLOT/optimizer/m"]["attributes"]["VARIABLE_VALUE"]
    assert slot == {"full_name": "weights/Adam", "key": f"layer/kernel/.OPTIMIZER_SLOT/optimizer/m{SUFFIX}"}


def test_a_saved_model_is_graph_and_variables(opened, expected):
    artifact = opened("saved_model")
    wanted = expected("saved_model/variables/variables")
    for key, array in wanted.items():
        assert not differences(array, artifact.tensors[key].read())
    assert artifact.tensors[f"kernel{SUFFIX}"].read().tobytes() == formula(6, 4).tobytes()
    big = next(ref for key, ref in artifact.tensors.items() if key.endswith("/big"))
    assert big.read().tobytes() == np.arange(600, dtype=np.float32).tobytes()
    assert set(artifact.tensors) - set(wanted) == {big.name, *(key for key in artifact.tensors if key.endswith("/big"))}


def test_functions_of_a_saved_model_are_graphs_with_their_constants(opened):
    graph = opened("saved_model").graph
    functions = graph.attributes["functions"]
    body = next(function for name, function in functions.items() if name.startswith("__inference_predict"))
    operators = {node.op for node in body.nodes}
    assert {"MatMul", "ReadVariableOp", "Relu", "WriteFile"} <= operators
    small = next(node for node in body.nodes if node.name.endswith("small"))
    assert small.attributes["value"] == {"dtype": "float32", "shape": [4], "values": [1.5, 2.5, 3.5, 4.5]}
    assert body.inputs["features"].dtype == "float32"
    made = {*body.inputs, *(output for node in body.nodes for output in node.outputs)}
    assert {source for node in body.nodes for source in node.inputs} <= made
    assert body.outputs.keys() <= made
    assert body.outputs


def test_signatures_tags_and_assets_of_a_saved_model_are_in_its_tree(opened):
    tree = opened("saved_model").tree
    assert tree["tags"] == ["serve"]
    assert tree["tensorflow_version"] == "2.21.0"
    signature = tree["signatures"]["serving_default"]
    assert {key: (value["dtype"], value["shape"]) for key, value in signature["inputs"].items()} == {
        "features": ("float32", [None, 6])
    }
    assert list(signature["outputs"]) == ["scores"]
    assert tree["assets"]["words.txt"]["bytes"] == 8
    assert tree["saved_objects"]["variables"]["norm/moving_mean"]["trainable"] is False
    assert tree["saved_objects"]["variables"]["dense/kernel"]["trainable"] is True


def test_operators_that_read_and_write_files_are_foreign(opened):
    names = {item.name for item in opened("saved_model").foreign}
    assert names == {"tensorflow.raw_ops.ReadFile", "tensorflow.raw_ops.WriteFile"}


def test_the_file_of_a_saved_model_opens_its_variables_too(opened, fixtures, tmp_path):
    whole = opened("saved_model/saved_model.pb")
    assert whole.tensors.keys() == opened("saved_model").tensors.keys()
    (tmp_path / "assets").mkdir()
    shutil.copy(fixtures / "saved_model/assets/words.txt", tmp_path / "assets")
    alone = opened(shutil.copy(fixtures / "saved_model/saved_model.pb", tmp_path / "alone"))
    assert all(key.endswith("/big") for key in alone.tensors)
    assert alone.graph == whole.graph


def test_constants_of_a_frozen_graph_are_bit_for_bit_those_that_tensorflow_reads(opened, expected):
    tensors = opened("frozen.pb").tensors
    wanted = expected("frozen.pb")
    assert tensors.keys() == wanted.keys()
    for key, array in wanted.items():
        ref = tensors[key]
        for size in (1, 8, 1 << 20):
            blocks = [block.copy() for block in ref.blocks(size)]
            found = np.concatenate(blocks).reshape(ref.shape) if blocks else ref.read()
            assert found.dtype == array.dtype
            assert not differences(bits(array), bits(found)), key


def test_constants_of_every_type_that_tensorflow_writes_into_graphs_are_held_against_it(expected):
    types = {key.partition("/")[0] for key in expected("frozen.pb")} - {"typed"}
    assert types | NOT_SAVED_AS_CONSTANT == {key.partition("/")[0] for key in expected("types/model.ckpt")}


def test_nodes_have_operator_inputs_and_plain_attributes(opened):
    artifact = opened("frozen.pb")
    node = artifact.graph.nodes[-1]
    assert (node.op, node.name, node.inputs) == ("MatMul", "product", ("x", "float32/25", "^text"))
    assert [other.outputs for other in artifact.graph.nodes[-3:]] == [("^text",), ("x",), ("product",)]
    assert node.attributes == {
        "T": "float32",
        "device": "/device:GPU:0",
        "function": {"function": "body"},
        "names": ["p", "q"],
        "scales": [0.5, 1.5],
        "transpose_a": True,
    }
    assert artifact.graph.inputs["x"].shape == (None, 3)
    assert list(artifact.graph.outputs) == ["product"]
    assert artifact.graph.attributes["versions"] == {"producer": 1882}
    assert artifact.tree["strings"] == {"text": {"shape": [2], "values": ["a", "ü"]}}


def test_a_metagraph_has_collections(opened):
    artifact = opened("model.meta")
    assert artifact.tree["tensorflow_version"] == "2.21.0"
    assert "variables" in artifact.tree["collections"]
    assert "out" in {node.name for node in artifact.graph.nodes}
    assert artifact.graph.attributes["values"]["out"].shape == (3,)
    assert not any("_output_shapes" in node.attributes for node in artifact.graph.nodes)


@pytest.mark.parametrize("name", ["types/model.ckpt.index", "slices/model.index", "frozen.pb", "model.meta"])
def test_tensorflow_itself_reads_the_same_where_it_is_installed(fixtures, opened, name):
    tf = pytest.importorskip("tensorflow")
    if name.endswith(".index"):
        reader = tf.train.load_checkpoint(str(fixtures / name.removesuffix(".index")))
        for key, ref in opened(name).tensors.items():
            assert not differences(bits(reader.get_tensor(key)), bits(ref.read()))
    else:
        proto = tf.compat.v1.GraphDef() if name.endswith(".pb") else tf.compat.v1.MetaGraphDef()
        proto.ParseFromString((fixtures / name).read_bytes())
        nodes = proto.node if name.endswith(".pb") else proto.graph_def.node
        assert [node.name for node in nodes] == [node.name for node in opened(name).graph.nodes]
