"""Tensors as matrices: outputs and inputs, however a library stores them; the oracle is the layer itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffai_lib_layers import is_matrix, is_transposed, matrix_shape, n_stacked
from torch import nn

from diffai_core.testing import artifact

KERAS = json.loads((Path(__file__).parent / "other_names/keras.json").read_text(encoding="utf-8"))["small"]


def ref(name, shape, dtype=np.float32):
    return artifact(tensors={name: np.zeros(shape, dtype)}).tensors[name]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("fc1.weight", nn.Linear(3, 5)),
        ("layer1.0.conv1.weight", nn.Conv2d(3, 5, 2)),
        ("encoder.conv1.weight", nn.Conv1d(3, 5, 2)),
    ],
)
def test_a_layer_of_pytorch_is_outputs_by_inputs(name, layer):
    assert matrix_shape(ref(name, tuple(layer.weight.shape))) == tuple(layer.weight.flatten(1).shape)
    assert is_matrix(ref(name, tuple(layer.weight.shape)))


@pytest.mark.parametrize(
    ("name", "stored", "shape"),
    [
        ("transformer.h.0.attn.c_attn.weight", (8, 24), (24, 8)),
        ("transformer.h.0.mlp.c_fc.weight", (8, 32), (32, 8)),
        ("transformer.h.0.mlp.c_proj.weight", (32, 8), (8, 32)),
        ("transformer.h.0.attn.c_attn.weight", (24, 8), (24, 8)),
        ("transformer.h.0.mlp.c_proj.weight", (8, 32), (8, 32)),
    ],
)
def test_gpt2_is_read_as_stored_by_conv1d_and_by_linear(name, stored, shape):
    assert matrix_shape(ref(name, stored)) == shape
    assert is_transposed(ref(name, stored)) == (stored != shape)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mha/query/kernel", (32, 16)),
        ("mha/attention_output/kernel", (16, 32)),
        ("lstm/lstm_cell/kernel", (20, 16)),
        ("dense/kernel", (3, 5)),
    ],
)
def test_a_kernel_of_keras_is_turned(name, shape):
    assert matrix_shape(ref(name, tuple(KERAS[name][0]))) == shape


def test_kernels_of_convolutions_in_keras_have_the_outputs_last():
    assert matrix_shape(ref("conv1/kernel", (7, 7, 3, 64))) == (64, 147)
    assert matrix_shape(ref("block_1_depthwise/kernel", (3, 3, 32, 1))) == (32, 9)


def test_all_experts_in_one_tensor_are_as_many_matrices():
    experts = ref("blk.0.ffn_gate_exps.weight", (4, 6, 3))
    assert (n_stacked(experts), matrix_shape(experts)) == (4, (6, 3))
    assert n_stacked(ref("encoder.conv1.weight", (4, 6, 3))) == 1


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("fc1.bias", (5,), np.float32),
        ("fc1.weight", (1, 5), np.float32),
        ("model.norm.weight", (4, 4), np.float32),
        ("embeddings.position_ids", (2, 5), np.int64),
        ("fc1.weight", (5, 5), np.int64),
        ("scalar", (), np.float32),
    ],
)
def test_vectors_norms_and_integers_are_no_matrices(name, shape, dtype):
    assert not is_matrix(ref(name, shape, dtype))


def test_the_matrix_of_a_turned_kernel_gives_the_outputs_of_the_layer():
    kernel = torch.arange(15.0).reshape(3, 5)  # Keras: x @ kernel
    layer = nn.Linear(3, 5, bias=False)
    layer.weight.data = kernel.T
    outputs, inputs = matrix_shape(ref("dense/kernel", tuple(kernel.shape)))
    assert (layer.out_features, layer.in_features) == (outputs, inputs)
    assert torch.equal(layer(torch.ones(1, inputs)), torch.ones(1, inputs) @ kernel)
