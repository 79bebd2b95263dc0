"""Tensors equal what the ``onnx`` library reads, wherever and however they are stored."""

from __future__ import annotations

import pickle

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

INT32_CODES = {
    TensorProto.INT32: np.int32,
    TensorProto.INT16: np.int16,
    TensorProto.INT8: np.int8,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT8: np.uint8,
}


def same(found, wanted):
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    assert found.tobytes() == np.ascontiguousarray(wanted).tobytes()


def test_numbers_that_are_not_packed_are_read_as_packed_ones(save, opened, tensor):
    values = np.array([-3, 0, 1 << 40], np.int64)
    packed = tensor(code=TensorProto.INT64, dims=[3], int64_data=values.tolist()).SerializeToString()
    single = tensor(code=TensorProto.INT64, dims=[3]).SerializeToString()
    for value in values.tolist():
        single += b"\x38" + _varint(value & ((1 << 64) - 1))
    assert numpy_helper.to_array(TensorProto.FromString(single)).tolist() == values.tolist()
    assert single != packed
    model = helper.make_model(helper.make_graph([], "g", [], [], []))
    path = save(model=model)
    path.write_bytes(_with_tensor(single))
    same(opened(path).tensors["t"].read(), values)


def test_floats_that_are_not_packed_are_read_as_packed_ones(save, opened, tensor):
    single = tensor(code=TensorProto.FLOAT, dims=[2, 2]).SerializeToString()
    for value in (1.5, -2.0, 0.0, 3.25):
        single += b"\x25" + np.float32(value).tobytes()
    path = save()
    path.write_bytes(_with_tensor(single))
    same(opened(path).tensors["t"].read(), np.array([[1.5, -2], [0, 3.25]], np.float32))


def _varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _with_tensor(data):
    graph = b"\x2a" + _varint(len(data)) + data
    return b"\x08\x0a" + b"\x3a" + _varint(len(graph)) + graph + b"\x42\x02\x10\x15"


@pytest.mark.parametrize("code", INT32_CODES)
def test_every_value_of_a_small_integer_is_read_from_its_typed_field(save, opened, tensor, code):
    limits = np.iinfo(INT32_CODES[code])
    values = np.array([limits.min, limits.max, 0, 1, limits.max // 2], INT32_CODES[code])
    proto = tensor(code=code, dims=[5], int32_data=values.tolist())
    same(opened(save([], [proto])).tensors["t"].read(), values)


def test_complex_numbers_are_read_from_typed_fields(save, opened):
    values = np.array([1 + 2j, -3.5j], np.complex64)
    wide = values.astype(np.complex128)
    protos = [helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape, v) for name, v in
              (("c", values), ("d", wide))]  # fmt: skip
    assert protos[0].float_data
    assert protos[1].double_data
    tensors = opened(save([], protos)).tensors
    same(tensors["c"].read(), values)
    same(tensors["d"].read(), wide)


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"])
def test_elements_that_do_not_fill_their_last_byte_are_read(save, opened, count, name):
    bits = int(name.split("_")[0][-1])
    codes = np.arange(count, dtype=np.uint8) * 5 % (1 << bits)
    values = codes.view(getattr(ml_dtypes, name))
    raw = numpy_helper.from_array(values, "raw")
    typed = helper.make_tensor("typed", raw.data_type, [count], values)
    assert typed.int32_data
    tensors = opened(save([], [raw, typed])).tensors
    for key in ("raw", "typed"):
        found = tensors[key].read().view(np.uint8) & ((1 << bits) - 1)
        assert found.tolist() == (numpy_helper.to_array(raw).view(np.uint8) & ((1 << bits) - 1)).tolist()
        assert found.tolist() == codes.tolist()


def test_a_constant_is_a_tensor_under_the_name_of_its_output(save, opened):
    values = np.arange(100, dtype=np.float32)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(values, "ignored")),
        helper.make_node("Constant", [], ["f"], value_float=1.5),
        helper.make_node("Constant", [], ["i"], value_int=-7),
        helper.make_node("Constant", [], ["fs"], value_floats=[1.5, 2.5]),
        helper.make_node("Constant", [], ["is"], value_ints=[-1, 1 << 40]),
        helper.make_node("Constant", [], ["one"], value_floats=[4.0]),
        helper.make_node("Constant", [], ["s"], value_string="text"),
        helper.make_node("Constant", [], ["ss"], value_strings=["a", "b"]),
        helper.make_node("Relu", ["w"], ["y"]),
    ]
    artifact = opened(save(nodes))
    found = {name: ref.read() for name, ref in artifact.tensors.items()}
    assert list(found) == ["w", "f", "i", "fs", "is", "one"]
    same(found["w"], values)
    same(found["f"], np.float32(1.5).reshape(()))
    same(found["i"], np.array(-7, np.int64))
    same(found["fs"], np.array([1.5, 2.5], np.float32))
    same(found["is"], np.array([-1, 1 << 40], np.int64))
    same(found["one"], np.array([4], np.float32))
    texts = {"s": {"shape": [], "values": ["text"]}, "ss": {"shape": [2], "values": ["a", "b"]}}
    assert artifact.tree["strings"] == texts
    assert [node.op for node in artifact.graph.nodes] == ["Relu"]


def test_scalars_indices_and_conditions_are_no_parameters(save, opened):
    arrays = {
        "weight": np.zeros((2, 3), np.float32),
        "one": np.zeros(1, np.float32),
        "epsilon": np.float32(1e-5).reshape(()),
        "shape": np.zeros(4, np.int64),
        "mask": np.zeros((2, 2), np.bool_),
        "codes": np.zeros((2, 2), np.int8),
    }
    found = opened(save([], [numpy_helper.from_array(array, name) for name, array in arrays.items()])).tensors
    assert {name for name, ref in found.items() if ref.role == "buffers"} == {"epsilon", "shape", "mask"}
    assert {ref.role for ref in found.values()} == {"weights", "buffers"}


def test_a_sparse_tensor_is_its_values_its_indices_and_its_shape(save, opened):
    values = np.array([1.5, 2.5, 3.5], np.float32)
    indices = np.array([0, 5, 11], np.int64)
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(values, "s"), numpy_helper.from_array(indices, "where"), [3, 4]
    )
    node = helper.make_node("Constant", [], ["c"], sparse_value=sparse)
    artifact = opened(save([node], graph={"sparse_initializer": [sparse]}))
    for name in ("s", "c"):
        same(artifact.tensors[f"{name}.values"].read(), values)
        same(artifact.tensors[f"{name}.indices"].read(), indices)
    assert artifact.tree["sparse"] == {"s": [3, 4], "c": [3, 4]}


def test_texts_are_in_the_tree_and_bytes_stay_bytes(save, opened):
    texts = helper.make_tensor("names", TensorProto.STRING, [3], ["ä".encode(), b"\xff\xfe", b""])
    artifact = opened(save([], [texts]))
    assert artifact.tree["strings"] == {"names": {"shape": [3], "values": ["ä", b"\xff\xfe", ""]}}
    assert not artifact.tensors


def test_long_lists_of_numbers_are_tensors_and_short_ones_attributes(save, opened):
    floats, ints = [k / 8 for k in range(100)], [k * 1000 for k in range(70)]
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], name="trees", domain="ai.onnx.ml",
                            nodes_values=floats, nodes_ids=ints, n_targets=1, base_values=[0.5, 1.5])  # fmt: skip
    artifact = opened(save([node]))
    same(artifact.tensors["trees.nodes_values"].read(), np.array(floats, np.float32))
    same(artifact.tensors["trees.nodes_ids"].read(), np.array(ints, np.int64))
    (found,) = artifact.graph.nodes
    assert found.op == "ai.onnx.ml::TreeEnsembleRegressor"
    assert dict(found.attributes) == {
        "nodes_values": {"dtype": "float32", "shape": [100]},
        "nodes_ids": {"dtype": "int64", "shape": [70]},
        "n_targets": 1,
        "base_values": [0.5, 1.5],
    }


def test_a_large_tensor_in_an_attribute_is_a_tensor_and_a_small_one_a_value(save, opened):
    small = numpy_helper.from_array(np.array([2.5], np.float32))
    large = numpy_helper.from_array(np.arange(65, dtype=np.int16))
    half = numpy_helper.from_array(np.array([0.5, 1], ml_dtypes.bfloat16))
    node = helper.make_node("Custom", [], ["y"], domain="d", small=small, large=large, half=half)
    artifact = opened(save([node]))
    same(artifact.tensors["y.large"].read(), np.arange(65, dtype=np.int16))
    assert artifact.graph.nodes[0].attributes == {
        "small": {"dtype": "float32", "shape": [1], "values": [2.5]},
        "large": {"dtype": "int16", "shape": [65]},
        "half": {"dtype": "bfloat16", "shape": [2], "values": [0.5, 1.0]},
    }


def test_tensors_of_equal_name_in_two_bodies_have_keys_of_their_own(save, opened):
    def body(k):
        weight = numpy_helper.from_array(np.full(3, k, np.float32), "w")
        out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [3])
        return helper.make_graph([helper.make_node("Identity", ["w"], ["o"])], "b", [], [out], [weight])

    nodes = [
        helper.make_node("If", ["c"], ["y"], name="choose", then_branch=body(1), else_branch=body(2)),
        helper.make_node("If", ["c"], ["z"], then_branch=body(3), else_branch=body(4)),
        helper.make_node("If", ["c"], ["v"], name="choose", then_branch=body(5), else_branch=body(6)),
    ]
    artifact = opened(save(nodes))
    found = {name: ref.read()[0].item() for name, ref in artifact.tensors.items()}
    assert found == {
        "choose.then_branch/w": 1,
        "choose.else_branch/w": 2,
        "z.then_branch/w": 3,
        "z.else_branch/w": 4,
        "choose[2].then_branch/w": 5,
        "choose[2].else_branch/w": 6,
    }


def test_a_tensor_of_variable_length_numbers_can_be_read_in_another_process(save, opened, tensor):
    values = list(range(-500, 500))
    ref = opened(save([], [tensor(code=TensorProto.INT64, dims=[1000], int64_data=values)])).tensors["t"]
    copy = pickle.loads(pickle.dumps(ref))
    assert copy.read().tolist() == values
    copy.open_blocks.args[0].message.source.file.close()


def test_documentation_of_a_tensor_is_in_the_notes(save, opened, tensor):
    proto = tensor(dims=[1], float_data=[1.0], doc_string="why")
    proto.metadata_props.add(key="origin", value="here")
    notes = opened(save([], [proto])).tree["notes"]
    assert notes["t"] == {"doc_string": "why", "metadata_props": {"origin": "here"}}


def test_what_cannot_be_represented_is_said(save, opened, tensor):
    part = tensor("part", dims=[4], float_data=[1.0, 2.0])
    part.segment.begin, part.segment.end = 0, 2
    artifact = opened(save([], [part, tensor("odd", code=99, dims=[1], raw_data=b"\0")]))
    assert {found.where for found in artifact.not_readable} == {"part", "odd"}
    assert not artifact.tensors
