"""The laws of every loader and plugin; the ``tflite`` package, generated from the schema, writes the files."""

from __future__ import annotations

import flatbuffers
import ml_dtypes
import numpy as np
import pytest
import tflite
from diffai_load_tflite import plugin as tflite_plugin
from diffai_load_tflite.loader import open_tflite

from diffai_core.plugin import LoadError, Source
from diffai_core.testing import LoaderTests, PluginTests

NUMBERS = {name.lower(): number for name, number in vars(tflite.TensorType).items() if name.isupper()}


def vector(builder, start, items, prepend):
    start(builder, len(items))
    for item in reversed(items):
        getattr(builder, prepend)(item)
    return builder.EndVector()


def packed(array):
    """Return the bytes of an array, small integers packed with the first one low."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if array.dtype.name not in {"int4", "uint4"}:
        return flat.tobytes()
    codes = flat.view(np.uint8) & 15
    codes = np.append(codes, np.zeros(codes.size % 2, np.uint8))
    return (codes[0::2] | codes[1::2] << 4).tobytes()


def written_model(arrays, names=None, types=None, shape=None):
    """Return a model with constants and an operator that takes the first one."""
    builder = flatbuffers.Builder(256)
    buffers = [written_buffer(builder, None)]
    tensors = []
    for number, (key, array) in enumerate(arrays.items()):
        buffers.append(written_buffer(builder, packed(array)))
        type_ = NUMBERS[array.dtype.name] if types is None else types[number]
        tensors.append(written_tensor(builder, (names or {}).get(key, key), shape or array.shape, type_, number + 1))
    tensors.append(written_tensor(builder, "sum", (), 0, 0))
    operators = [written_operator(builder, [0, -1], [len(tensors) - 1])]
    name = builder.CreateString("main")
    tensor_vector = vector(builder, tflite.SubGraphStartTensorsVector, tensors, "PrependUOffsetTRelative")
    inputs = vector(builder, tflite.SubGraphStartInputsVector, [], "PrependInt32")
    outputs = vector(builder, tflite.SubGraphStartOutputsVector, [len(tensors) - 1], "PrependInt32")
    operator_vector = vector(builder, tflite.SubGraphStartOperatorsVector, operators, "PrependUOffsetTRelative")
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensor_vector)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operator_vector)
    tflite.SubGraphAddName(builder, name)
    graph = tflite.SubGraphEnd(builder)
    return finished(builder, graph, buffers)


def written_buffer(builder, data):
    place = None if data is None else builder.CreateByteVector(data)
    tflite.BufferStart(builder)
    if place is not None:
        tflite.BufferAddData(builder, place)
    return tflite.BufferEnd(builder)


def written_tensor(builder, name, shape, type_, buffer):
    name = builder.CreateString(name)
    shape = vector(builder, tflite.TensorStartShapeVector, shape, "PrependInt32")
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, type_)
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    tflite.TensorAddHasRank(builder, True)
    return tflite.TensorEnd(builder)


def written_operator(builder, inputs, outputs):
    tflite.AddOptionsStart(builder)
    tflite.AddOptionsAddFusedActivationFunction(builder, tflite.ActivationFunctionType.RELU6)
    options = tflite.AddOptionsEnd(builder)
    inputs = vector(builder, tflite.OperatorStartInputsVector, inputs, "PrependInt32")
    outputs = vector(builder, tflite.OperatorStartOutputsVector, outputs, "PrependInt32")
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, 0)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    tflite.OperatorAddBuiltinOptionsType(builder, tflite.BuiltinOptions.AddOptions)
    tflite.OperatorAddBuiltinOptions(builder, options)
    return tflite.OperatorEnd(builder)


def finished(builder, graph, buffers):
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, tflite.BuiltinOperator.ADD)
    tflite.OperatorCodeAddVersion(builder, 2)
    code = tflite.OperatorCodeEnd(builder)
    description = builder.CreateString("written by a test")
    buffer_vector = vector(builder, tflite.ModelStartBuffersVector, buffers, "PrependUOffsetTRelative")
    graphs = vector(builder, tflite.ModelStartSubgraphsVector, [graph], "PrependUOffsetTRelative")
    codes = vector(builder, tflite.ModelStartOperatorCodesVector, [code], "PrependUOffsetTRelative")
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddDescription(builder, description)
    tflite.ModelAddBuffers(builder, buffer_vector)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


class TestPlugin(PluginTests):
    plugin = tflite_plugin


class TestFile(LoaderTests):
    plugin = tflite_plugin
    dtypes = tuple(name for name in NUMBERS if name not in {"string", "resource", "variant"})

    def write(self, path, arrays):
        path.write_bytes(written_model(arrays))

    def write_sample(self, path):
        arrays = self.sample() | {"odd": np.arange(-3, 4).astype(ml_dtypes.int4)}
        path.write_bytes(written_model(arrays))

    def sample_tree(self):
        return {"version": 3, "description": "written by a test"}


def tensors_of(path, data):
    path.write_bytes(data)
    with open_tflite(Source(path), {}) as artifact:
        return {name: (ref.shape, ref.dtype.name, ref.read().tolist()) for name, ref in artifact.tensors.items()}


def test_tensors_of_one_name_keep_their_order_and_get_numbers(tmp_path):
    arrays = {key: np.array([number], np.int32) for number, key in enumerate("abcde")}
    names = {"a": "w", "b": "w#2", "c": "w", "d": "", "e": "w"}
    found = tensors_of(tmp_path / "m.tflite", written_model(arrays, names))
    assert {name: values for name, (_, _, values) in found.items()} == {
        "w": [0],
        "w#2": [1],
        "w#3": [2],
        "tensor_3": [3],
        "w#4": [4],
    }


def test_a_type_that_is_newer_than_the_table_is_reported_as_not_readable(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(written_model({"a": np.ones(3, np.float32), "b": np.ones(2, np.int8)}, types=[99, 9]))
    with open_tflite(Source(path), {}) as artifact:
        assert list(artifact.tensors) == ["b"]
        assert [(item.where, item.reason) for item in artifact.not_readable] == [
            ("a", "a constant of type type_99, which this loader cannot read")
        ]


@pytest.mark.parametrize(
    ("number", "dtype", "values"), [(19, "int2", [0, 1, -2, -1, -1, -2, 1]), (20, "uint4", [4, 14, 11])]
)
def test_types_that_are_newer_than_the_package_are_unpacked_the_low_bits_first(tmp_path, number, dtype, values):
    codes = np.array([0b11100100, 0b00011011], np.uint8)
    data = written_model({"a": codes}, types=[number], shape=(len(values),))
    assert tensors_of(tmp_path / "m.tflite", data)["a"] == ((len(values),), dtype, values)


def test_a_constant_with_too_few_bytes_is_an_error_that_names_tensor_and_place(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(written_model({"short": np.ones(6, np.int8)}, types=[2]))
    with pytest.raises(LoadError, match=r"byte \d+: tensor 'short' needs 24 bytes .* and its buffer has 6"):
        open_tflite(Source(path), {})
