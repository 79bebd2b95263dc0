"""Damage is an error that names file and byte, soon and in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_load_onnx import budget, tensors
from onnx import TensorProto, helper, numpy_helper


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dims": [4], "raw_data": bytes(15)}, "float32 of shape [4] takes 16 bytes, and 15 are there"),
        ({"dims": [4], "raw_data": bytes(17)}, "takes 16 bytes, and 17 are there"),
        ({"dims": [4]}, "the tensor of shape [4] has no data"),
        ({"dims": [-1], "raw_data": b""}, "a dimension of the tensor is -1"),
        ({"dims": [1 << 40, 1 << 40], "raw_data": b""}, "larger than any array can be"),
        ({"dims": [0, 1 << 40, 1 << 40]}, "larger than any array can be"),
        ({"dims": [1 << 34], "raw_data": bytes(8)}, "takes 68,719,476,736 bytes, and 8 are there"),
        ({"dims": [1] * 65, "raw_data": bytes(4)}, "more than 64 dimensions"),
        ({"dims": [1], "raw_data": bytes(4), "float_data": [1.0]}, "data in several fields"),
        ({"dims": [1], "int64_data": [1]}, "elements of float32 in field 7, where they cannot be"),
        ({"dims": [2], "float_data": [1.0]}, "takes 8 bytes, and 4 are there"),
        ({"dims": [2], "code": TensorProto.INT64, "int64_data": [1]}, "1 numbers instead of 2"),
        ({"dims": [1], "code": TensorProto.INT64, "int64_data": [1 << 40]}, ""),
        ({"dims": [3], "code": TensorProto.INT64, "int64_data": [1 << 40]}, "elements instead of 3"),
        ({"dims": [1], "code": TensorProto.INT64, "int64_data": [1, 2]}, "more than its 1 elements"),
        ({"dims": [1 << 30], "code": TensorProto.INT64, "int64_data": [1]}, "numbers instead of 1,073,741,824"),
        ({"dims": [1], "code": TensorProto.INT8, "int32_data": [300]}, "a number does not fit into int8"),
        ({"dims": [1], "code": TensorProto.FLOAT16, "int32_data": [70000]}, "a number does not fit into float16"),
        ({"dims": [2], "code": TensorProto.STRING, "string_data": [b"a"]}, "the tensor has 1 texts instead of 2"),
    ],
)  # fmt: skip
def test_a_tensor_whose_data_do_not_fit_is_an_error(tmp_path, save, opened, refusal, tensor, fields, expected):
    path = save([], [tensor(**fields)])
    if not expected:
        assert opened(path).tensors["t"].read().tolist() == [1 << 40]
        return
    message = refusal(path)
    assert expected in message
    assert message.startswith(f"{path}: byte ")


def test_two_tensors_of_one_name_are_an_error(save, refusal, tensor):
    twice = [tensor(dims=[1], float_data=[1.0]), tensor(dims=[1], float_data=[2.0])]
    assert "the graph has two tensors with the name 't'" in refusal(save([], twice))
    node = helper.make_node("Constant", [], ["t"], value_int=1)
    assert "the graph gives two values the name 't'" in refusal(save([node], twice[:1]))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "byte 0: the file ends here, and the model has no graph"),
        (b"\x08\x0a", "byte 2: the file ends here, and the model has no graph"),
        (b"\x08\x0a\x3a\x00", "byte 4: the file ends here, and the model has no opset_import"),
        (b"\x08\x0a\x3a\x7f\x00", "byte 5: the file ends here, 126 bytes too early for field 7"),
        (b"\x08\x0a\x3a\x00\x3a\x00", "the model has two graphs"),
        (b"PK\x03\x04", "byte 3: field 0 is a group (wire type 3)"),
    ],
)
def test_a_file_that_is_no_model_is_an_error_at_the_byte(tmp_path, refusal, data, expected):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert expected in refusal(path)


def nested(levels):
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    for _ in range(levels):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["y"], then_branch=graph)], "g", [], [])
    return graph


def test_bodies_nested_as_deep_as_protobuf_allows_are_read_and_deeper_ones_refused(tmp_path, opened, refusal):
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(nested(30)).SerializeToString())
    graph, depth = opened(path).graph, 0
    while graph.nodes[0].op == "If":
        graph, depth = graph.nodes[0].attributes["then_branch"], depth + 1
    assert depth == 30
    data = b"\x0a\x02\x0a\x00"
    for _ in range(2000):
        attribute = b"\x32" + _varint(len(data)) + data + b"\xa0\x01\x05"
        node = b"\x2a" + _varint(len(attribute)) + attribute
        data = b"\x0a" + _varint(len(node)) + node
    path.write_bytes(b"\x08\x0a\x3a" + _varint(len(data)) + data + b"\x42\x02\x10\x15")
    assert "messages are nested more than 100 deep" in refusal(path)


def _varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def test_more_nodes_than_allowed_are_an_error(save, refusal, monkeypatch):
    monkeypatch.setattr(budget, "MAX_ITEMS", 100)
    path = save([helper.make_node("Relu", ["x"], ["x"]) for _ in range(101)])
    assert "the model describes more than 100 nodes, attributes, values and texts" in refusal(path)


def test_more_text_than_allowed_is_an_error(save, refusal, monkeypatch):
    monkeypatch.setattr(budget, "MAX_TEXT_BYTES", 1 << 20)
    path = save([helper.make_node("Relu", ["x" * 50_000], ["y" * 50_000]) for _ in range(30)])
    assert "the model holds more than 1 MiB of names and texts" in refusal(path)


def test_a_name_that_is_too_long_is_an_error(save, refusal):
    assert "more than the 65,536 allowed" in refusal(save([helper.make_node("Relu", ["x" * 70_000], ["y"])]))


def test_a_text_that_is_not_utf8_is_an_error_in_a_name(save, refusal):
    path = save([helper.make_node("Relu", ["abcdef"], ["y"])])
    path.write_bytes(path.read_bytes().replace(b"abcdef", b"abc\xff\xfe\xfd"))
    assert "the text in field 1 is not UTF-8" in refusal(path)


def test_many_texts_of_a_tensor_are_told_by_digest(save, opened, monkeypatch, tensor):
    monkeypatch.setattr("diffai_load_onnx.contents.MAX_STRINGS", 10)
    proto = tensor(code=TensorProto.STRING, dims=[11], string_data=[b"x"] * 11)
    (found,) = opened(save([], [proto])).tree["strings"]["t"]["values"]
    assert (found["count"], len(found["blake2b"])) == (11, 64)
    assert tensors.MAX_STRINGS > 10


def test_a_small_file_that_declares_a_huge_tensor_is_an_error(save, refusal):
    proto = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    proto.dims[0] = 1 << 32
    assert "takes 17,179,869,184 bytes, and 16 are there" in refusal(save([], [proto]))
