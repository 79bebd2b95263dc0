"""FLOPs are those that torch counts, to the last one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffai_compare_resources.devices import device_table
from diffai_compare_resources.estimates import step_of
from diffai_compare_resources.graphs import _COUNTS
from diffai_compare_resources.layers import work_of_tensors
from diffai_compare_resources.shapes import _RULES
from diffai_compare_resources.sides import Side
from diffai_lib_layers import facts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from diffai_core.plugin import Graph, Node, Value
from diffai_core.testing import artifact

OPTIONS = {"batch_size": 1, "sequence_length": 24, "input_size": None}


def side(opened):
    return Side(opened, dict(opened.tensors), facts_of(opened))


def work(opened):
    return work_of_tensors(side(opened))


@pytest.mark.parametrize("length", [1, 24, 100])
@pytest.mark.parametrize("shape", [{}, {"n_kv_heads": 4}, {"n_layers": 1, "head_dim": 16}, {"vocabulary": 1000}])
def test_a_transformer_has_the_flops_that_torch_counts(models, shape, length):
    model = models.Llama(**shape)
    counted = models.flops(model, torch.zeros(1, length, dtype=torch.long))
    found = work(models.checkpoint(model))
    assert found.unit == "token"
    assert found.is_known
    assert found.flops(length) * length == counted


def test_a_head_that_is_the_embedding_is_counted_where_the_configuration_says_so(models):
    model = models.Llama(tied=True)
    counted = models.flops(model, torch.zeros(1, 24, dtype=torch.long))
    head = 24 * 2 * 97 * 32
    for tree in (
        {"config.json": {"tie_word_embeddings": True}},
        {"config.json": {"architectures": ["LlamaForCausalLM"]}},
    ):
        assert work(models.checkpoint(model, tree)).flops(24) * 24 == counted
    assert work(models.checkpoint(model)).flops(24) * 24 == counted - head
    assert work(models.checkpoint(model, {"config.json": {"tie_word_embeddings": False}})).flops(24) * 24 == (
        counted - head
    )


def test_a_classifier_head_is_counted_once_for_a_sequence(models):
    model = models.Llama()
    model.lm_head = nn.Identity()
    counted = models.flops(model, torch.zeros(1, 24, dtype=torch.long))
    tensors = models.arrays(model) | {"classifier.weight": np.zeros((5, 32), np.float32)}
    assert work(artifact(tensors)).flops(24) * 24 == pytest.approx(counted + 2 * 5 * 32, rel=1e-12)


def test_gpt2_with_fused_projections_stored_the_other_way_round_is_counted_alike():
    width = 32
    block = {
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_proj.weight": (width, width),
        "mlp.c_fc.weight": (width, 4 * width),
        "mlp.c_proj.weight": (4 * width, width),
        "ln_1.weight": (width,),
    }
    tensors = {f"h.{i}.{name}": np.zeros(shape, np.float32) for i in range(2) for name, shape in block.items()}
    tensors |= {"wte.weight": np.zeros((97, width), np.float32), "wpe.weight": np.zeros((64, width), np.float32)}
    found = work(artifact(tensors))
    assert found.flops(24) == 2 * (2 * 12 * width**2 + 4 * 24 * width)
    assert found.kv_bytes == 2 * 2 * width * 4


def test_a_perceptron_has_the_flops_that_torch_counts(models):
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))
    found = work(models.checkpoint(model))
    assert (found.unit, found.flops(1000)) == ("input", models.flops(model, torch.zeros(1, 20)))


def test_a_model_with_an_embedding_and_no_sequence_layers_counts_an_input(run):
    tensors = {"embedding.weight": np.zeros((10, 4), np.float32), "fc.weight": np.zeros((3, 4), np.float32)}
    assert (work(artifact(tensors)).unit, work(artifact(tensors)).flops(7)) == ("input", 2 * 12)
    found = run("inference-speed-estimate", artifact(tensors), artifact(tensors))
    assert found.status == "estimated"
    assert found.message.startswith("counted as if every matrix worked once on an input")


def test_of_experts_those_are_counted_that_a_token_passes_through():
    tensors = {
        "model.embed_tokens.weight": np.zeros((50, 16), np.float32),
        "model.layers.0.mlp.gate.weight": np.zeros((8, 16), np.float32),
    }
    for expert in range(8):
        tensors[f"model.layers.0.mlp.experts.{expert}.up_proj.weight"] = np.zeros((64, 16), np.float32)
    told = {"config.json": {"num_experts_per_tok": 2, "num_local_experts": 8}}
    found = work(artifact(tensors, told))
    assert found.flops(24) == 2 * (8 * 16) + 2 * 2 * (64 * 16)
    assert found.expert_bytes == 8 * 64 * 16 * 4
    assert found.step_bytes(1, 24) == pytest.approx(8 * 16 * 4 + 16 * 4 + found.expert_bytes / 4)
    assert found.step_bytes(1000, 24) == pytest.approx(8 * 16 * 4 + 16 * 4 + found.expert_bytes)
    untold = work(artifact(tensors))
    assert not untold.is_known
    assert "give the folder with config.json" in untold.unresolved[0].reason
    assert untold.coverage == pytest.approx(1 - 8 * 64 * 16 / (8 * 64 * 16 + 50 * 16 + 8 * 16))


def test_look_ups_read_one_row_and_tied_tables_all(models):
    model = models.Llama()
    n_bytes = sum(array.nbytes for array in models.arrays(model).values())
    assert work(models.checkpoint(model)).weight_bytes == n_bytes - 96 * 32 * 4


def test_convolutions_without_a_graph_are_not_counted_and_say_what_to_give(models):
    found = work(models.checkpoint(models.Cnn()))
    assert not found.is_known
    assert {one.where for one in found.unresolved} == {"conv1.weight", "conv2.weight", "up.weight"}
    assert "give the model as ONNX" in found.unresolved[0].reason
    assert 0 < found.coverage < 0.1


@pytest.mark.parametrize("size", [(3, 32, 32), (3, 45, 61)])
@pytest.mark.parametrize("groups", [1, 4])
def test_a_graph_of_convolutions_has_the_flops_that_torch_counts(models, tmp_path, size, groups):
    model = models.Cnn(groups=groups)
    counted = models.flops(model, torch.zeros(1, *size))
    with models.exported(model, torch.zeros(2, *size), tmp_path / "m.onnx") as opened:
        found = step_of(side(opened), OPTIONS)
    assert (found.work.unit, found.work.source) == ("input", "graph")
    assert found.is_known, found.work.unresolved
    assert found.flops == counted


def test_open_dimensions_of_a_graph_are_what_the_user_says(models, tmp_path):
    model = models.Cnn()
    counted = models.flops(model, torch.zeros(1, 3, 40, 48))
    axes = {"dynamic_axes": {"x": {0: "n", 2: "h", 3: "w"}}, "input_names": ["x"]}
    with models.exported(model, torch.zeros(1, 3, 32, 32), tmp_path / "m.onnx", **axes) as opened:
        given = step_of(side(opened), OPTIONS | {"input_size": "3x40x48", "batch_size": 3})
        open_ended = step_of(side(opened), OPTIONS)
    assert given.flops == 3 * counted
    assert not open_ended.is_known
    assert {one.reason for one in open_ended.work.unresolved} >= {
        "Conv: the shapes of its inputs or outputs are not told"
    }


def test_a_graph_of_attention_has_the_flops_that_torch_counts(models, tmp_path):
    model = models.Llama()
    tokens = torch.zeros(1, 24, dtype=torch.long)
    with models.exported(model, tokens, tmp_path / "m.onnx", infer=True) as opened:
        found = step_of(side(opened), OPTIONS)
    assert found.is_known, found.work.unresolved
    assert found.flops == models.flops(model, tokens)


def test_products_in_bodies_of_conditions_and_loops_are_not_counted_and_said():
    body = Graph(nodes=(Node("MatMul", "product", ("a", "w"), ("b",)),))
    graph = Graph(
        nodes=(
            Node("MatMul", "outside", ("x", "w"), ("y",)),
            Node("If", "condition", ("c",), ("z",), {"then_branch": body, "else_branch": Graph()}),
        ),
        inputs={"x": Value("float32", (1, 4))},
    )
    opened = replace(artifact({"w": np.zeros((4, 5), np.float32)}), graph=graph)
    found = step_of(side(opened), OPTIONS)
    assert found.flops == 2 * 4 * 5
    assert [(one.where, one.reason) for one in found.work.unresolved] == [
        ("product", "MatMul: how often a body of If runs is not told")
    ]


def test_of_a_graph_those_parameters_are_covered_that_its_counted_nodes_use():
    graph = Graph(nodes=(Node("MatMul", "", ("x", "w"), ("y",)), Node("Einsum", "e", ("y", "v"), ("z",))))
    graph = replace(graph, inputs={"x": Value("float32", (1, 4))})
    tensors = {"w": np.zeros((4, 5), np.float32), "v": np.zeros((5, 4), np.float32), "inside": np.zeros(60, np.float32)}
    found = step_of(side(replace(artifact(tensors), graph=graph)), OPTIONS)
    assert found.work.coverage == 0.2


def test_every_device_has_a_source_and_a_date():
    for one in device_table():
        assert one.source
        assert one.date
        assert one.flops > 1e12
        assert 1e11 < one.bandwidth < 1e13
        assert one.memory > 1e9


LENGTHS = st.none() | st.integers(-2, 9) | st.sampled_from(["n", "m", ""])
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["kernel_shape", "strides", "pads", "dilations", "axis", "perm", "auto_pad", "transB", "ceil_mode"]
    ),
    st.integers(-3, 3) | st.lists(st.integers(-3, 3) | st.floats(allow_nan=True), max_size=4) | st.text(max_size=3),
    max_size=5,
)
NODES = st.builds(
    Node,
    op=st.sampled_from([*_COUNTS, *_RULES, "Add", "Relu", "Einsum", "If"]),
    inputs=st.lists(st.sampled_from(["x", "w", "v", "y", "", "absent"]), max_size=4).map(tuple),
    outputs=st.lists(st.sampled_from(["y", "z", ""]), max_size=2).map(tuple),
    attributes=ATTRIBUTES,
)


@given(
    st.lists(NODES, max_size=6), st.none() | st.lists(LENGTHS, max_size=4).map(tuple), st.sampled_from(["3x4", None])
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_graph_is_counted_or_said_not_to_be(nodes, shape, size):
    graph = Graph(nodes=tuple(nodes), inputs={"x": Value("float32", shape)})
    tensors = {"w": np.zeros((4, 3, 2, 2), np.float32), "v": np.zeros((3, 4), np.float32)}
    found = step_of(side(replace(artifact(tensors), graph=graph)), OPTIONS | {"input_size": size})
    assert found.flops >= 0
    assert 0 <= found.work.coverage <= 1
