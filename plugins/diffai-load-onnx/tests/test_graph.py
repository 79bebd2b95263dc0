"""The graph and the metadata are those that the ``onnx`` library wrote."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from diffai_core.plugin import Graph, Value


def test_nodes_have_op_name_inputs_outputs_and_attributes(save, opened):
    nodes = [
        helper.make_node("Conv", ["x", "W", ""], ["y"], name="conv", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        helper.make_node("Gelu", ["y"], ["z"], domain="com.microsoft", alpha=0.5),
        helper.make_node("Split", ["z"], ["a", "b"], axis=-1),
    ]
    graph = opened(save(nodes)).graph
    found = [(node.op, node.name, node.inputs, node.outputs, dict(node.attributes)) for node in graph.nodes]
    assert found == [
        ("Conv", "conv", ("x", "W", ""), ("y",), {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
        ("com.microsoft::Gelu", "", ("y",), ("z",), {"alpha": 0.5}),
        ("Split", "", ("z",), ("a", "b"), {"axis": -1}),
    ]


def test_every_kind_of_attribute_becomes_a_plain_value(save, opened):
    type_ = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 3, None])
    body = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "body", [], [])
    node = helper.make_node("Custom", [], ["y"], domain="d", f=1.5, i=-3, s="text", floats=[1.0, 2.0], ints=[1, -2],
                            strings=["a", "b"], g=body, gs=[body, body], tp=type_,
                            tps=[type_, helper.make_sequence_type_proto(type_)])  # fmt: skip
    node.attribute.append(helper.make_attribute("none", [], attr_type=onnx.AttributeProto.INTS))
    node.attribute.append(helper.make_attribute("blob", b"\xff\xfe"))
    (found,) = opened(save([node])).graph.nodes
    inner = Graph(nodes=found.attributes["g"].nodes)
    assert [one.op for one in inner.nodes] == ["Relu"]
    assert dict(found.attributes) == {
        "f": 1.5,
        "i": -3,
        "s": "text",
        "floats": [1.0, 2.0],
        "ints": [1, -2],
        "strings": ["a", "b"],
        "g": inner,
        "gs": [inner, inner],
        "tp": "float32[N, 3, ?]",
        "none": [],
        "blob": b"\xff\xfe",
        "tps": ["float32[N, 3, ?]", "sequence(float32[N, 3, ?])"],
    }


def test_inputs_outputs_and_values_have_types_and_shapes(save, opened):
    weight = numpy_helper.from_array(np.zeros(3, np.float32), "W")
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["N", 3, None]),
        helper.make_tensor_value_info("W", TensorProto.FLOAT, [3]),
        helper.make_tensor_value_info("any", TensorProto.STRING, None),
    ]
    outputs = [helper.make_value_info("m", helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))]  # fmt: skip
    values = [helper.make_tensor_value_info("v", TensorProto.INT64, [2, "M"])]
    graph = opened(save([], [weight], inputs=inputs, outputs=outputs, graph={"value_info": values})).graph
    assert dict(graph.inputs) == {"x": Value("float16", ("N", 3, None)), "any": Value("string", None)}
    assert dict(graph.outputs) == {"m": Value("map(int64, float32[])")}
    assert graph.attributes["values"] == {"v": Value("int64", (2, "M"))}


def test_operator_sets_and_functions_are_attributes_of_the_graph(save, opened):
    body = [helper.make_node("Elu", ["a"], ["b"])]
    body[0].attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    function = helper.make_function("local", "f", ["a"], ["b"], body, [helper.make_opsetid("", 18)], ["slope"])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    graph = opened(save([helper.make_node("f", ["x"], ["y"], domain="local", slope=0.5)],
                        functions=[function], opset_imports=opsets)).graph  # fmt: skip
    assert graph.attributes["opset_import"] == {"ai.onnx": 18, "local": 1}
    found = graph.attributes["functions"]["local::f"]
    assert (list(found.inputs), list(found.outputs)) == (["a"], ["b"])
    assert [(node.op, dict(node.attributes)) for node in found.nodes] == [("Elu", {"alpha": {"from": "slope"}})]
    assert found.attributes == {"attributes": ["slope"], "defaults": {}, "opset_import": {"ai.onnx": 18}}


def test_metadata_documentation_and_names_are_in_the_tree(save, opened):
    node = helper.make_node("Relu", ["x"], ["y"], name="act", doc_string="an activation")
    node.metadata_props.add(key="trace", value="file.py")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1], doc_string="an image")
    built = helper.make_graph([node], "main", [value], [], doc_string="a graph")
    model = helper.make_model(built, producer_name="me", producer_version="2", domain="org", model_version=7,
                              doc_string="a model", ir_version=9)  # fmt: skip
    helper.set_model_props(model, {"author": "someone"})
    artifact = opened(save(model=model))
    assert (artifact.graph.attributes["ir_version"], artifact.graph.attributes["name"]) == (9, "main")
    assert artifact.tree == {
        "producer_name": "me",
        "producer_version": "2",
        "domain": "org",
        "model_version": 7,
        "doc_string": "a model",
        "metadata_props": {"author": "someone"},
        "notes": {
            "graph": {"doc_string": "a graph"},
            "x": {"doc_string": "an image"},
            "act": {"doc_string": "an activation", "metadata_props": {"trace": "file.py"}},
        },
    }


def test_long_texts_are_told_by_size_and_digest(save, opened):
    import hashlib

    text = "x" * 70_000
    model = helper.make_model(helper.make_graph([], "g", [], []), doc_string=text)
    wanted = {"bytes": 70_000, "blake2b": hashlib.blake2b(text.encode(), digest_size=32).hexdigest()}
    assert opened(save(model=model)).tree["doc_string"] == wanted


def test_training_graphs_are_attributes_and_their_tensors_tensors(save, opened):
    model = helper.make_model(helper.make_graph([], "g", [], []))
    step = helper.make_graph([helper.make_node("Gradient", ["w"], ["d"], domain="ai.onnx.preview.training")], "a", [],
                             [], [numpy_helper.from_array(np.array([0.1], np.float32), "rate")])  # fmt: skip
    model.training_info.add(algorithm=step)
    model.training_info[0].update_binding.add(key="w", value="w_new")
    artifact = opened(save(model=model))
    assert list(artifact.tensors) == ["training_info[0].algorithm/rate"]
    (found,) = artifact.graph.attributes["training_info"]
    assert found["update_binding"] == {"w": "w_new"}
    assert [node.op for node in found["algorithm"].nodes] == ["ai.onnx.preview.training::Gradient"]


def test_a_field_of_a_later_version_is_said_to_be_unread(save, opened):
    path = save()
    path.write_bytes(path.read_bytes() + b"\xfa\x01\x01x")  # field 31
    assert [found.where for found in opened(path).not_readable] == ["field 31 of a model"]


@pytest.mark.parametrize("name", ["model", "model.bin", "x.safetensors"])
def test_a_model_is_recognised_whatever_its_name(save, name):
    from diffai_load_onnx.sniff import looks_like_onnx

    data = save([helper.make_node("Relu", ["x"], ["y"])], name=name).read_bytes()
    assert looks_like_onnx(data[:4096], len(data))
