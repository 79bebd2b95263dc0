"""How layers are cut into heads: fused matrices, other formats, and what says how many heads there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

STEM = "model.layers.{}.self_attn.{}_proj.weight"
FOUR = {"config": {"num_attention_heads": 4, "model_type": "opt"}}
ROTARY = {"config": {"num_attention_heads": 4, "model_type": "llama", "rope_theta": 10000.0}}


def test_rows_of_llama_cpp_are_the_same_circuits_as_those_of_hugging_face(analyse, make_layers):
    old = make_layers(n_layers=1)
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}
    new = {f"blk.0.{name}.weight": old[STEM.format(0, role)] for role, name in names.items()}
    for name in ("attn_q", "attn_k"):  # as convert_hf_to_gguf.py permutes them
        array = new[f"blk.0.{name}.weight"]
        new[f"blk.0.{name}.weight"] = array.reshape(4, 2, 4, 32).swapaxes(1, 2).reshape(array.shape).copy()
    gguf = {
        "general.architecture": "llama",
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 4,
        "llama.rope.dimension_count": 8,
    }
    values = analyse(old, new, tree=ROTARY, new_tree=gguf).values
    assert values["layers"] == 1
    assert max(head["qk_delta_rel"] for head in values["heads"]) < 1e-12
    assert max(head["ov_delta_rel"] for head in values["heads"]) < 1e-12


def _fused(kind, tensors, n_kv):
    q, k, v, o = (torch.from_numpy(tensors[STEM.format(0, role)]) for role in "qkvo")
    if kind == "c_attn":
        return {"transformer.h.0.attn.c_attn.weight": torch.cat([q, k, v]).T, "transformer.h.0.attn.c_proj.weight": o.T}
    if kind == "in_proj":
        return {
            "model.layers.0.self_attn.in_proj_weight": torch.cat([q, k, v]),
            "model.layers.0.self_attn.out_proj.weight": o,
        }
    if kind == "qkv_proj":
        return {
            "model.layers.0.self_attn.qkv_proj.weight": torch.cat([q, k, v]),
            "model.layers.0.self_attn.o_proj.weight": o,
        }
    if kind == "timm":
        return {"blocks.0.attn.qkv.weight": torch.cat([q, k, v]), "blocks.0.attn.proj.weight": o}
    groups = q.view(n_kv, -1, 8, 32)
    woven = torch.cat([groups, k.view(n_kv, 1, 8, 32), v.view(n_kv, 1, 8, 32)], 1).reshape(-1, 32)
    if kind == "query_key_value":
        return {"transformer.h.0.attention.query_key_value.weight": woven, "transformer.h.0.attention.dense.weight": o}
    return {"model.layers.0.attention.wqkv.weight": woven, "model.layers.0.attention.wo.weight": o}


@pytest.mark.parametrize(
    ("kind", "n_kv"),
    [
        ("c_attn", 4),
        ("in_proj", 4),
        ("qkv_proj", 4),
        ("qkv_proj", 2),
        ("timm", 4),
        ("query_key_value", 4),
        ("query_key_value", 2),
        ("query_key_value", 1),
        ("wqkv", 2),
    ],
)
def test_fused_matrices_hold_the_same_circuits_as_the_split_ones(analyse, make_layers, kind, n_kv):
    split = make_layers(n_layers=1, n_kv=n_kv)
    tree = {"config": {"num_attention_heads": 4, "num_key_value_heads": n_kv}}
    fused = {name: array.contiguous().numpy() for name, array in _fused(kind, split, n_kv).items()}
    values = analyse(split, fused, tree=tree).values
    assert (values["layers"], values["n_heads"]) == (1, 4)
    assert max(head["qk_delta_rel"] for head in values["heads"]) < 1e-12
    assert max(head["ov_delta_rel"] for head in values["heads"]) < 1e-12
    outputs = {"c_proj", "out_proj", "o_proj", "proj", "dense", "wo"}
    edited = fused | {name: array * np.float32(1.1) for name, array in fused.items() if name.split(".")[-2] in outputs}
    assert analyse(split, edited, tree=tree).values["output_changes"] == 4


def test_without_a_head_count_the_answer_is_which_numbers_fit(analyse, make_layers):
    old, new = make_layers(1), make_layers(2)
    for name in ("attention-analysis", "head-importance", "attention-pattern-diff"):
        found = analyse(old, new, name)
        assert found.status == "not_measurable"
        assert found.values == {}
        assert "32 rows of q fit 1, 2 or 4 heads" in found.message or "32 rows of q fit 1, 2 or 4" in found.message
        assert "--num-heads" in found.message
        assert analyse(old, new, name, num_heads=4).status != "not_measurable"
    assert "5 heads do not fit" in analyse(old, new, num_heads=5).message


def test_a_checkpoint_without_its_configuration_is_cut_into_heads_as_the_other_one_is(analyse, make_layers):
    for tree, new_tree in (({}, ROTARY), (ROTARY, {})):
        values = analyse(make_layers(1), make_layers(2), tree=tree, new_tree=new_tree).values
        assert (values["n_heads"], values["positions"]) == (8, "rotary")
        assert values["by_layer"][0]["heads_from"] == "config.num_attention_heads"
        whole = analyse(make_layers(1), make_layers(2), tree=ROTARY).values
        assert values["heads"] == whole["heads"]
    other = make_layers(2, n_heads=8, dim=4)
    other = {name: array if "o_proj" in name else array[:16] for name, array in other.items()}
    assert analyse(make_layers(1), other, tree=ROTARY, new_tree={}).status == "not_measurable"


def test_the_number_on_the_command_line_does_not_overrule_the_file(analyse, make_layers):
    values = analyse(make_layers(1), make_layers(2), tree=FOUR, num_heads=2).values
    assert [row["n_heads"] for row in values["by_layer"]] == [4, 4]
    assert values["by_layer"][0]["heads_from"] == "config.num_attention_heads"


def test_the_norm_of_the_queries_says_how_wide_a_head_is(analyse, make_layers):
    sides = [make_layers(seed) | {"model.layers.0.self_attn.q_norm.weight": np.ones(8, np.float32)} for seed in (1, 2)]
    found = analyse(*sides)
    assert [row["n_heads"] for row in found.values["by_layer"]] == [4]
    assert found.coverage == pytest.approx(0.5)
    assert found.values["skipped"][0]["layer"] == "model.layers.1.self_attn"


def test_a_negative_number_of_heads_is_refused(analyse, make_layers):
    with pytest.raises(AssertionError, match="--num-heads must be at least 1"):
        analyse(make_layers(1), make_layers(2), num_heads=-1)
