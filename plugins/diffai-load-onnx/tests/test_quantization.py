"""Weights behind DequantizeLinear are what ONNX's reference implementation computes, under the name of the float."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

RNG = np.random.default_rng(0)


def qdq(codes, scale, zero_point=None, *, names=("W_quantized", "W_scale", "W_zero_point", "W_dq"), **attributes):
    """Return nodes and initializers that dequantise ``codes``."""
    arrays = [codes, scale] + ([] if zero_point is None else [zero_point])
    tensors = [numpy_helper.from_array(np.asarray(array), name) for array, name in zip(arrays, names, strict=False)]
    node = helper.make_node("DequantizeLinear", [one.name for one in tensors], [names[3]], **attributes)
    return [node], tensors


def reference(nodes, tensors):
    output = helper.make_value_info(nodes[-1].output[0], helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    model = helper.make_model(
        helper.make_graph(nodes, "g", [], [output], tensors), opset_imports=[helper.make_opsetid("", 25)]
    )
    return ReferenceEvaluator(model).run(None, {})[0]


CODES = {
    "int8": RNG.integers(-128, 128, (6, 5, 4)).astype(np.int8),
    "uint8": RNG.integers(0, 256, (6, 5, 4)).astype(np.uint8),
    "int16": RNG.integers(-(1 << 15), 1 << 15, (6, 5, 4)).astype(np.int16),
    "uint16": RNG.integers(0, 1 << 16, (6, 5, 4)).astype(np.uint16),
    "int4": RNG.integers(-8, 8, (6, 5, 4)).astype(ml_dtypes.int4),
    "uint4": RNG.integers(0, 16, (6, 5, 4)).astype(ml_dtypes.uint4),
    "float8_e4m3fn": RNG.normal(size=(6, 5, 4)).astype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": RNG.normal(size=(6, 5, 4)).astype(ml_dtypes.float8_e5m2),
    "float4_e2m1fn": RNG.normal(size=(6, 5, 4)).astype(ml_dtypes.float4_e2m1fn),
}
LAYOUTS = {
    "tensor": ((), {}, (None, None)),
    "axis 0": ((6,), {"axis": 0}, (0, None)),
    "axis 1, which is the default": ((5,), {}, (1, None)),
    "last axis": ((4,), {"axis": -1}, (2, None)),
    "blocks of 2 on axis 0": ((3, 5, 4), {"axis": 0, "block_size": 2}, (None, 2)),
    "blocks of 5 on axis 1": ((6, 1, 4), {"axis": 1, "block_size": 5}, (None, 5)),
    "blocks of 2 on the last axis": ((6, 5, 2), {"axis": 2, "block_size": 2}, (None, 2)),
}


def zero_points(name, shape):
    if name.startswith("float"):
        return None
    codes = CODES[name]
    picked = codes.reshape(-1)[: int(np.prod(shape, dtype=int))]
    return picked.reshape(shape)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CODES)
def test_dequantised_values_are_those_of_the_reference(save, opened, name, layout):
    shape, attributes, (axis, group_size) = LAYOUTS[layout]
    scale = RNG.uniform(0.01, 0.1, shape).astype(np.float32)
    nodes, tensors = qdq(CODES[name], scale, zero_points(name, shape), **attributes)
    artifact = opened(save(nodes, tensors))
    ref = artifact.tensors["W"]
    wanted = reference(nodes, tensors)
    assert list(artifact.tensors) == ["W"]
    assert ref.dtype.name == "float32"
    np.testing.assert_array_equal(ref.read().view(np.uint32), wanted.view(np.uint32))
    for max_bytes in (1, 4, 30, 81, 1000):
        blocks = [block.copy() for block in ref.blocks(max_bytes)]
        assert max(block.nbytes for block in blocks) <= max(max_bytes, 4)
        np.testing.assert_array_equal(np.concatenate(blocks), wanted.reshape(-1))
    assert ref.quantization.scheme == f"{name}_{'scaled' if name.startswith('float') else 'affine'}"
    assert (ref.quantization.axis, ref.quantization.group_size) == (axis, group_size)
    assert [part.name for part in ref.quantization.stored] == [one.name for one in tensors]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_the_type_of_the_scale_is_that_of_the_values(save, opened, dtype):
    nodes, tensors = qdq(CODES["int8"], RNG.uniform(0.01, 0.1, 6).astype(dtype), axis=0)
    ref = opened(save(nodes, tensors)).tensors["W"]
    found, wanted = ref.read(), reference(nodes, tensors)
    assert (ref.quantization.scheme, found.dtype, wanted.dtype) == ("int8_symmetric", dtype, dtype)
    assert found.tobytes() == wanted.tobytes()


def test_an_output_type_overrides_that_of_the_scale(save, opened):
    nodes, tensors = qdq(CODES["uint8"], np.float32(0.25), np.uint8(3), output_dtype=TensorProto.FLOAT16)
    found = opened(save(nodes, tensors)).tensors["W"].read()
    wanted = reference(nodes, tensors)
    assert found.dtype == np.float16
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("codes", "output", "expected"),
    [
        ("W_quantized", "W_DequantizeLinear_Output", "W"),
        ("W_quantized", "W_DequantizeLinear_Output_3", "W"),
        ("B_quantized", "B", "B"),
        ("B_quantized_7", "B", "B"),
        ("fc.weight_int8", "/fc/DequantizeLinear_output_0", "fc.weight"),
        ("onnx::MatMul_12_q", "12", "onnx::MatMul_12"),
        ("W", "W_DequantizeLinear_Output", "W"),
        ("W", "x7", "W"),
    ],
)
def test_a_quantised_weight_has_the_name_of_the_float_one(save, opened, codes, output, expected):
    names = (codes, f"{codes}_scale", f"{codes}_zero", output)
    nodes, tensors = qdq(CODES["int8"], np.float32(0.1), np.int8(1), names=names)
    assert list(opened(save(nodes, tensors)).tensors) == [expected]


def test_a_name_that_another_tensor_has_is_not_given_again(save, opened):
    nodes, tensors = qdq(CODES["int8"], np.float32(0.1))
    tensors.append(numpy_helper.from_array(np.zeros(3, np.float32), "W"))
    found = opened(save(nodes, tensors)).tensors
    assert set(found) == {"W_quantized", "W"}
    assert found["W_quantized"].quantization is not None
    assert found["W"].quantization is None


def test_a_scale_that_another_node_uses_is_listed_too(save, opened):
    nodes, tensors = qdq(CODES["int8"], np.float32(0.1), np.int8(1))
    nodes.append(helper.make_node("QuantizeLinear", ["x", "W_scale"], ["xq"]))
    assert set(opened(save(nodes, tensors)).tensors) == {"W", "W_scale"}


def test_codes_that_are_dequantised_in_two_ways_are_compared_as_they_are(save, opened):
    nodes, tensors = qdq(CODES["int8"], np.float32(0.1))
    more, other = qdq(CODES["int8"], np.float32(0.2), names=("W_quantized", "other_scale", "", "other"))
    found = opened(save(nodes + more, tensors + other[1:])).tensors
    assert set(found) == {"W_quantized", "W_scale", "other_scale"}
    assert all(ref.quantization is None for ref in found.values())


@pytest.mark.parametrize(
    ("scale_shape", "attributes"),
    [((5,), {"axis": 0}), ((6,), {"axis": 9}), ((2, 5, 4), {"axis": 0, "block_size": 4, "unused": 1}),
     ((3, 5), {"axis": 0, "block_size": 2}), ((6, 5, 4), {"axis": 0, "block_size": -1})],
)  # fmt: skip
def test_scales_that_do_not_fit_leave_the_codes_as_they_are(save, opened, scale_shape, attributes):
    scale = np.ones(scale_shape, np.float32)
    nodes, tensors = qdq(CODES["int8"], scale, **attributes)
    found = opened(save(nodes, tensors)).tensors
    fits = attributes.get("block_size") == 4  # 6 rows in blocks of 4: the last block is shorter
    assert (found["W" if fits else "W_quantized"].quantization is not None) is fits


def test_activations_are_not_taken_for_weights(save, opened):
    node = helper.make_node("DequantizeLinear", ["xq", "s"], ["x"])
    found = opened(save([node], [numpy_helper.from_array(np.float32(0.1), "s")])).tensors
    assert list(found) == ["s"]


def test_weights_of_a_body_are_dequantised_with_scales_of_the_graph_around_it(save, opened):
    nodes, tensors = qdq(CODES["int8"], np.float32(0.5))
    codes, scale = tensors
    body = helper.make_graph(nodes, "b", [], [helper.make_tensor_value_info("W_dq", 1, None)], [codes])
    node = helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body)
    found = opened(save([node], [scale])).tensors
    assert set(found) == {"if.then_branch/W", "if.else_branch/W"}
    for ref in found.values():
        np.testing.assert_array_equal(ref.read(), CODES["int8"].astype(np.float32) * np.float32(0.5))
