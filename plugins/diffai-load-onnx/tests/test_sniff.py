"""Content tells an ONNX model from all other protobuf formats."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_load_onnx.sniff import looks_like_onnx
from onnx import helper, numpy_helper


def graph(n_nodes=1, **more):
    nodes = [helper.make_node("Relu", [f"v{k}"], [f"v{k + 1}"]) for k in range(n_nodes)]
    return helper.make_graph(nodes, "g", [], [], **more)


def claims(data, size=None):
    return looks_like_onnx(data[:4096], len(data) if size is None else size)


@pytest.mark.parametrize("n_nodes", [0, 1, 1000])
@pytest.mark.parametrize("doc", ["", "short", "long " * 3000])
def test_models_of_all_sizes_are_recognised(n_nodes, doc):
    model = helper.make_model(graph(n_nodes), producer_name="p", doc_string=doc, domain="d")
    assert claims(model.SerializeToString())


def test_a_model_that_begins_with_a_large_weight_is_recognised():
    weight = numpy_helper.from_array(np.zeros(1 << 20, np.float32), "w")
    model = helper.make_model(graph(0, initializer=[weight]))
    assert claims(model.SerializeToString())


OTHERS = {
    "SavedModel": b"\x08\x01\x12\xd0\x0f" + b"\x0a\x10\x12\x00" * 500,
    "SavedModel of a small graph": b"\x08\x01\x12\x08\x0a\x06\x12\x00\x2a\x02v2",
    "GraphDef": b"\x0a\x1e\x0a\x05input\x12\x0bPlaceholder\x2a\x08\x0a\x05dtype",
    "Core ML": b"\x08\x04\x12\x20" + b"\x0a\x05input" + bytes(25) + b"\xa2\x1f\x04spec",
    "sentencepiece": b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02" * 20,
    "a tensor": numpy_helper.from_array(np.zeros(3, np.float32), "w").SerializeToString(),
    "a number": b"\x08\x07",
    "nothing": b"",
    "zip": b"PK\x03\x04" + bytes(40),
    "text": b"hello, world\n" * 20,
    "JSON": b'{"a": 1}',
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_formats_are_declined(what):
    assert not claims(OTHERS[what])


def test_a_graph_that_is_larger_than_the_file_is_declined():
    data = helper.make_model(graph(100)).SerializeToString()
    assert not claims(data[:200], 200)
