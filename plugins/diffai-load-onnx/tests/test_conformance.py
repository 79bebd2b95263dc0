"""The plugin keeps the laws of the conformance kit; the ``onnx`` library writes the files."""

from __future__ import annotations

import random
import time
import tracemalloc

import numpy as np
from diffai_load_onnx import plugin
from diffai_load_onnx.loader import open_onnx
from diffai_load_onnx.schema import ELEMENT_TYPES
from onnx import TensorProto, helper, numpy_helper

from diffai_core.plugin import LoadError, Source
from diffai_core.testing import LoaderTests, PluginTests

_ALL = tuple(element.dtype.name for element in ELEMENT_TYPES.values())


def _write(path, initializers, nodes=(), **more):
    graph = helper.make_graph(list(nodes), "g", [], [], list(initializers), doc_string="about the graph")
    model = helper.make_model(graph, producer_name="tests", **more)
    helper.set_model_props(model, {"author": "ü"})
    path.write_bytes(model.SerializeToString())


def typed(array, name):
    """Return a tensor whose elements lie one by one in a typed field."""
    code = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor(name, code, array.shape, array.reshape(-1).astype(array.dtype))


class TestPlugin(PluginTests):
    plugin = plugin


class TestRawData(LoaderTests):
    plugin = plugin
    dtypes = _ALL

    def sample_tree(self):
        notes = {"graph": {"doc_string": "about the graph"}}
        return {"producer_name": "tests", "metadata_props": {"author": "ü"}, "notes": notes}

    def write(self, path, arrays):
        _write(path, [numpy_helper.from_array(array, name) for name, array in arrays.items()], ir_version=13)


class TestTypedFields(TestRawData):
    dtypes = tuple(name for name in _ALL if not name.startswith("complex"))

    def write(self, path, arrays):
        _write(path, [typed(array, name) for name, array in arrays.items()], ir_version=13)


class TestConstants(TestRawData):
    def write(self, path, arrays):
        nodes = [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
            for name, array in arrays.items()
        ]
        _write(path, [], nodes, ir_version=13)


class TestRichModel(LoaderTests):
    """A small model with a bit of everything, damaged in many ways."""

    plugin = plugin
    dtypes = ("float32",)
    n_examples = 5
    n_damaged = 400

    def write(self, path, arrays):
        _write(path, [numpy_helper.from_array(array, name) for name, array in arrays.items()])

    def write_sample(self, path):
        path.write_bytes(rich_model().SerializeToString())


def rich_model():
    """Return a model with tensors in every place that ONNX has for them."""
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    then, other = (
        helper.make_graph(
            [helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(values + k))],
            f"branch{k}",
            [],
            [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2, 3, 4])],
            [numpy_helper.from_array(np.arange(3, dtype=np.int8), "inner")],
        )
        for k in (1, 2)
    )
    nodes = [
        helper.make_node("If", ["cond"], ["chosen"], name="choose", then_branch=then, else_branch=other),
        helper.make_node("Conv", ["x", "W"], ["y"], name="conv", kernel_shape=[3, 3], doc_string="a convolution"),
        helper.make_node("DequantizeLinear", ["Q_quantized", "Q_scale", "Q_zero_point"], ["Q_dq"], axis=0),
        helper.make_node("Constant", [], ["k"], value_floats=[1.0, 2.5]),
        helper.make_node("Constant", [], ["words"], value_strings=["a", "b"]),
        helper.make_node("double", ["y"], ["z"], domain="local"),
        helper.make_node("TreeEnsembleRegressor", ["z"], ["t"], domain="ai.onnx.ml", nodes_values=[0.5] * 80),
    ]
    initializers = [
        numpy_helper.from_array(values, "W"),
        numpy_helper.from_array(np.arange(12, dtype=np.uint8).reshape(3, 4), "Q_quantized"),
        numpy_helper.from_array(np.array([0.5, 1, 2], np.float32), "Q_scale"),
        numpy_helper.from_array(np.array([1, 2, 3], np.uint8), "Q_zero_point"),
        helper.make_tensor("typed", TensorProto.INT64, [3], [-1, 2, 1 << 40]),
        helper.make_tensor("half", TensorProto.FLOAT16, [3], [0.5, 1.0, -2.0]),
        helper.make_tensor("text", TensorProto.STRING, [2], [b"one", b"two"]),
        helper.make_tensor("cond", TensorProto.BOOL, [], [True]),
    ]
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.array([1.5, 2.5], np.float32), "sparse"),
        numpy_helper.from_array(np.array([1, 7], np.int64), "sparse_indices"),
        [3, 4],
    )
    double = helper.make_function(
        "local",
        "double",
        ["a"],
        ["b"],
        [
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Mul", ["a", "two"], ["b"]),
        ],
        [helper.make_opsetid("", 21)],
    )
    graph = helper.make_graph(
        nodes,
        "rich",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, None])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 2])],
        initializers,
        sparse_initializer=[sparse],
        value_info=[helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, functions=[double], opset_imports=opsets, producer_name="tests", ir_version=10)


def test_random_damage_gives_a_model_or_an_error_soon_and_in_little_memory(tmp_path):
    data = rich_model().SerializeToString()
    path = tmp_path / "m.onnx"
    rng = random.Random(1)
    tracemalloc.start()
    slowest = 0.0
    for _ in range(250):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(copy))
            if rng.random() < 0.3:
                del copy[at : at + rng.randrange(1, 20)]
            else:
                copy[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        path.write_bytes(copy)
        started = time.perf_counter()
        outcome(path)
        slowest = max(slowest, time.perf_counter() - started)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert slowest < 1
    assert peak < 50 << 20


def outcome(path):
    try:
        with open_onnx(Source(path), {}) as artifact:
            for ref in artifact.tensors.values():
                assert ref.nbytes < 1 << 20
                ref.read()
        message = f"{path}: "
    except LoadError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
