"""Depth, width, heads, families and differences of models whose architecture is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diffai_compare_architecture.plugin import diffai_comparators

from diffai_core.plugin import Artifact, BlockTensor, Graph, Node, Value, dtype
from diffai_core.testing import artifact
from diffai_core.testing.running import run_comparator

SPECS = {spec.name: spec for spec in diffai_comparators()}
CONFIG = {
    "model_type": "qwen2_moe",
    "num_attention_heads": 4,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_size": 16,
}


def answer(name, old, new):
    (found,) = run_comparator(SPECS[name], old, new, {})
    return found


def compare(old, new):
    return answer("architecture-comparison", old, new)


def model(shapes, tree=None):
    refs = {
        name: BlockTensor(
            name=name, shape=tuple(shape), dtype=dtype("float32"), open_blocks=lambda _: iter(()), shared_storage=name
        )
        for name, shape in shapes.items()
    }
    return Artifact(name="m", format="test", tensors=refs, tree=tree or {})


def llama(n_blocks=3, width=16, n_kv=8, vocabulary=50, **more):
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for block in range(n_blocks):
        start = f"model.layers.{block}."
        shapes |= {
            f"{start}self_attn.q_proj.weight": (width, width),
            f"{start}self_attn.k_proj.weight": (n_kv, width),
            f"{start}self_attn.v_proj.weight": (n_kv, width),
            f"{start}self_attn.o_proj.weight": (width, width),
            f"{start}mlp.gate_proj.weight": (4 * width, width),
            f"{start}mlp.up_proj.weight": (4 * width, width),
            f"{start}mlp.down_proj.weight": (width, 4 * width),
            f"{start}input_layernorm.weight": (width,),
            f"{start}post_attention_layernorm.weight": (width,),
        }
    return {**shapes, **more}


def test_depth_width_and_parameters_are_those_of_the_shapes():
    values = compare(model(llama(3, 16)), model(llama(5, 32))).values
    assert (values["depth"], values["width"]) == ([3, 5], [16, 32])
    assert values["params"] == [
        sum(int(np.prod(shape)) for shape in llama(*one).values()) for one in ((3, 16), (5, 32))
    ]
    assert values["weight_matrices"] == [1 + 3 * 7, 1 + 5 * 7]
    assert values["gqa_ratio"] == [2, 4]
    assert sum(values["roles1"].values()) == values["params"][0]
    assert "depth 3 -> 5" in values["differences"]


def test_the_number_of_heads_is_not_read_from_a_projection():
    found = compare(model(llama()), model(llama()))
    assert found.values["heads"] == [None, None]
    assert "config.json" in found.values["not_measurable"]["heads"]


def test_heads_are_those_of_the_configuration_or_of_the_norm_of_a_head():
    told = model(llama(), {"config.json": {"num_attention_heads": 4}})
    normed = model(llama(**{"model.layers.0.self_attn.q_norm.weight": (8,)}))
    values = compare(told, normed).values
    assert (values["heads"], values["head_dim"]) == ([4, 2], [4, 8])
    assert values["sources1"]["heads"] == '["config.json"].num_attention_heads'
    assert "q_norm" in values["sources2"]["head_dim"]


def test_a_norm_over_all_heads_tells_no_number_of_heads():
    whole = model(llama(**{"model.layers.0.self_attn.q_norm.weight": (16,)}))
    assert compare(whole, whole).values["heads"] == [None, None]


def test_keras_keeps_the_heads_in_the_shape_of_its_kernels():
    keras = model({"mha/query/kernel": (16, 4, 8), "mha/key/kernel": (16, 4, 8)})
    values = compare(keras, keras).values
    assert (values["heads"], values["head_dim"], values["gqa_ratio"]) == ([4, 4], [8, 8], [1.0, 1.0])


def test_a_token_passes_through_as_many_experts_as_the_configuration_says():
    shapes = {f"model.layers.0.mlp.experts.{n}.up_proj.weight": (4, 4) for n in range(8)} | {"model.norm.weight": (16,)}
    values = compare(model(shapes, {"config.json": CONFIG}), model(shapes)).values
    assert values["params"] == [8 * 16 + 16] * 2
    assert values["active_params"] == [2 * 16 + 16, None]
    assert "active_params" in values["not_measurable"]


def test_fused_experts_are_as_many_matrices_as_single_ones():
    one = model({f"model.layers.0.mlp.experts.{n}.up_proj.weight": (4, 6) for n in range(8)})
    fused = model({"model.layers.0.mlp.experts.up_proj": (8, 4, 6)})
    values = compare(one, fused).values
    assert (values["weight_matrices"], values["params"]) == ([8, 8], [192, 192])


def test_tied_tensors_are_named_and_counted_once():
    plain = model(llama(**{"lm_head.weight": (50, 16)}))
    tied = dict(plain.tensors)
    tied["lm_head.weight"] = replace(tied["lm_head.weight"], shared_storage="model.embed_tokens.weight")
    values = compare(plain, replace(plain, tensors=tied)).values
    assert (values["tied1"], values["tied2"]) == ([], [["lm_head.weight", "model.embed_tokens.weight"]])
    assert values["params"][0] - values["params"][1] == 800
    assert any("tied" in difference for difference in values["differences"])


def test_running_means_are_no_parameters():
    shapes = {
        "bn1.weight": (8,),
        "bn1.bias": (8,),
        "bn1.running_mean": (8,),
        "bn1.running_var": (8,),
        "conv1.weight": (8, 3, 3, 3),
    }
    assert compare(model(shapes), model(shapes)).values["params"] == [16 + 216] * 2


def test_the_parameters_of_resnet18_are_those_of_torchvision():
    lists = Path(__file__).parents[2] / "diffai-lib-layers/tests/names/torchvision.json"
    names = json.loads(lists.read_text(encoding="utf-8"))
    shapes = {name: shape for name, (shape, _) in names["resnet18"].items()}
    found = compare(model(shapes), model(shapes))
    assert found.values["params"] == [11_689_512] * 2
    assert (found.values["type1"], found.values["depth"][0]) == ("resnet", 8)


def test_weights_are_matched_as_the_core_pairs_them():
    rng = np.random.default_rng(0)
    old = {name: rng.normal(size=shape) for name, shape in llama(2).items()}
    new = {f"module.{name}": values for name, values in old.items()}
    values = compare(artifact(old), artifact(new)).values
    assert (values["matched_by_prefix"], values["unmatched_old"], values["matched_parameters_share"]) == (
        len(old),
        0,
        1.0,
    )
    assert values["differences"] == []
    grown = {name: rng.normal(size=shape) for name, shape in llama(3, vocabulary=60).items()}
    values = compare(artifact(old), artifact(grown)).values
    assert (values["matched_by_name"], values["reshaped"], values["unmatched_new"]) == (len(old), 1, 9)
    assert values["matched_parameters_share"] < 1


def test_the_same_architecture_is_said_in_words():
    found = compare(model(llama()), model(llama()))
    assert found.values["n_differences"] == 0
    assert found.message.startswith("the same architecture")


def test_lines_of_the_table_fit_into_eighty_columns():
    long = model(llama(**{"x" * 120 + ".weight": (3, 3)}), {"config": {"model_type": "y" * 200}})
    assert all(len(line) <= 78 for line in compare(long, model(llama())).detail)


def test_graphs_are_compared_by_operators_versions_and_signature():
    body = Graph(nodes=(Node("Relu"),))
    old = Graph(
        nodes=(Node("Conv"), Node("If", attributes={"then_branch": body})),
        inputs={"x": Value("float32", ("N", 3))},
        attributes={"opset_import": {"": 17}},
    )
    new = replace(
        old,
        nodes=(Node("Conv"), Node("Conv")),
        inputs={"x": Value("float32", (1, 3))},
        attributes={"opset_import": {"": 18}},
    )
    weights = model(llama())
    values = compare(replace(weights, graph=old), replace(weights, graph=new)).values
    assert values["operators1"] == {"Conv": 1, "If": 1, "Relu": 1}
    assert values["operator_sets2"] == {"": 18}
    assert values["signature1"]["inputs"] == {"x": "float32[N, 3]"}
    assert {"operators: Conv 1 -> 2", "operators: If 1 -> 0", "operators: Relu 1 -> 0", "inputs differ"} <= set(
        values["differences"]
    )
    alone = compare(Artifact(name="a", format="onnx", graph=old), Artifact(name="b", format="onnx", graph=new))
    assert (alone.values["nodes"], alone.values["n_differences"]) == ([3, 2], 5)


@pytest.mark.parametrize("name", ["architecture-comparison", "model-type"])
def test_without_weights_it_is_not_measurable(name):
    found = answer(name, artifact(tree={"a": 1}), artifact(tree={"a": 2}))
    assert found.status == "not_measurable"
    assert "weights" in found.message


def test_file_names_tell_nothing():
    named = replace(model(llama()), name="bert_heads_12_layers_99.pt")
    assert compare(named, model(llama())).values == compare(model(llama()), model(llama())).values
