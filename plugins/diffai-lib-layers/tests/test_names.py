"""The grammar of names: blocks, roles and parts, by hand and across the names that two libraries give one tensor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffai_lib_layers import place, places
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.plugin import BlockTensor, dtype

OTHER = Path(__file__).parent / "other_names"
GGUF = json.loads((OTHER / "gguf.json").read_text(encoding="utf-8"))
KERAS = json.loads((OTHER / "keras.json").read_text(encoding="utf-8"))
SAME_TENSOR = [pytest.param(pairs, id=model) for model, pairs in GGUF.items()]

PLACES = {
    "bert.encoder.layer.3.attention.self.query.weight": ("bert.encoder.layer", 3, "q", "weight"),
    "bert.encoder.layer.3.attention.output.dense.weight": ("bert.encoder.layer", 3, "o", "weight"),
    "bert.encoder.layer.3.intermediate.dense.bias": ("bert.encoder.layer", 3, "up", "bias"),
    "bert.encoder.layer.3.output.dense.weight": ("bert.encoder.layer", 3, "down", "weight"),
    "bert/encoder/layer_3/attention/self/query/kernel": ("bert.encoder.layer", 3, "q", "weight"),
    "cls.predictions.decoder.weight": ("cls.predictions", None, "head", "weight"),
    "model/transformer/h.0.attn.c_proj.weight": ("model.transformer.h", 0, "o", "weight"),
    "model.layers.1.mlp.shared_expert_gate.weight": ("model.layers", 1, "router", "weight"),
    "model.layers.1.mlp.gate_proj.weight": ("model.layers", 1, "gate", "weight"),
    "layers.7.feed_forward.w3.weight": ("layers", 7, "up", "weight"),
    "layers.7.attention.wo.weight": ("layers", 7, "o", "weight"),
    "decoder.block.2.layer.1.EncDecAttention.o.weight": ("decoder.block", 2, "o", "weight"),
    "encoder.block.2.layer.1.DenseReluDense.wo.weight": ("encoder.block", 2, "down", "weight"),
    "layer4.1.conv2.weight": ("layer.4", 1, "conv", "weight"),
    "layer4.1.bn2.running_var": ("layer.4", 1, "bn", "running_var"),
    "features.3.1.block.2.fc1.weight": ("features.3", 1, "up", "weight"),
    "stages.2.blocks.5.mlp.fc2.bias": ("stages.2.blocks", 5, "down", "bias"),
    "layers.0.blocks.1.attn.relative_position_bias_table": ("layers.0.blocks", 1, "position", "weight"),
    "conv2_block1_1_conv/kernel:0": ("conv2.block", 1, "conv", "weight"),
    "block3b_se_reduce/bias": ("block.3", 1, "other", "bias"),
    "params/encoderblock_3/MlpBlock_3/Dense_0/kernel": ("encoderblock", 3, "up", "weight"),
    "encoder.layers.encoder_layer_5.mlp.3.weight": ("encoder.layers.encoder_layer", 5, "down", "weight"),
    "encoder.layers.encoder_layer_5.self_attention.in_proj_bias": ("encoder.layers.encoder_layer", 5, "qkv", "bias"),
    "rnn.weight_hh_l1_reverse": ("", None, "rnn", "weight"),
    "fc1.weight": ("", None, "mlp", "weight"),
    "fc.weight": ("", None, "head", "weight"),
    "net.2.weight": ("net", 2, "other", "weight"),
    "sub/model.pth:fc.bias": ("sub/model.pth:", None, "head", "bias"),
    "blk.11.attn_output.weight": ("blk", 11, "o", "weight"),
    "v.blk.3.ffn_down.bias": ("v.blk", 3, "down", "bias"),
    "audio.conv.parametrizations.weight.original0": ("audio", None, "conv", "weight_norm"),
}

ADAPTERS = {
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight": ("model.layers", 0, "lora_a", "q"),
    "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight": ("model.layers", 0, "lora_b", "down"),
    "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_down.weight": (
        "down_blocks.0.attentions.1.transformer_blocks",
        0,
        "lora_a",
        "q",
    ),
    "lora_te_text_model_encoder_layers_9_mlp_fc2.lora_up.weight": ("text_model_encoder_layers", 9, "lora_b", "down"),
    "unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_v_lora.up.weight": (
        "unet.mid_block.attentions.0.transformer_blocks",
        0,
        "lora_b",
        "v",
    ),
    "model.layers.4.mlp.experts.17.up_proj.weight": ("model.layers", 4, "expert", "up"),
    "model.layers.4.block_sparse_moe.experts.7.w2.weight": ("model.layers", 4, "expert", "down"),
    "blk.4.ffn_gate_exps.weight": ("blk", 4, "expert", "gate"),
}

WRAPPED = (
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "model_state_dict.",
    "state_dict.module.",
    "_fsdp_wrapped_module.",
)


@pytest.mark.parametrize("name", PLACES)
def test_a_name_tells_stack_block_role_and_part(name):
    where = place(name)
    assert (where.prefix, where.block, where.role, where.part) == PLACES[name]


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_and_experts_know_the_layer_they_belong_to(name):
    where = place(name)
    assert (where.prefix, where.block, where.role, where.base) == ADAPTERS[name]


@pytest.mark.parametrize("pairs", SAME_TENSOR)
def test_the_names_of_gguf_and_of_transformers_for_one_tensor_tell_the_same(pairs):
    told = {gguf: (place(gguf), place(name)) for gguf, name in pairs.items()}
    assert {
        name: (ours, theirs)
        for name, (ours, theirs) in told.items()
        if (ours.block, ours.role, ours.base, ours.part) != (theirs.block, theirs.role, theirs.base, theirs.part)
    } == {}


@pytest.mark.parametrize("model", KERAS)
def test_keras_layers_have_the_role_of_their_class(model):
    role_of_class = {
        "Conv2D": "conv",
        "DepthwiseConv2D": "conv",
        "BatchNormalization": "bn",
        "layer_normalization": "norm",
        "lstm_cell": "rnn",
        "query": "q",
        "attention_output": "o",
    }
    names = KERAS[model]
    found = places(
        {
            name: BlockTensor(name=name, shape=tuple(shape), dtype=dtype("float32"), open_blocks=lambda _: iter(()))
            for name, (shape, _) in names.items()
        }
    )
    wrong = {
        name: found[name].role
        for name, (_, kind) in names.items()
        if role_of_class.get(kind, found[name].role) != found[name].role
    }
    assert wrong == {}


@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("name", list(PLACES)[:6])
def test_wrappers_of_training_frameworks_change_nothing(wrapper, name):
    assert place(wrapper + name) == place(name)


def test_a_wrapper_inside_the_model_changes_nothing():
    name = "model.layers.3._fsdp_wrapped_module._checkpoint_wrapped_module.self_attn.q_proj.weight"
    assert place(name) == place("model.layers.3.self_attn.q_proj.weight")


def test_self_and_cross_attention_of_a_block_differ_in_what_stands_between():
    own, cross = (
        place(f"decoder.block.0.layer.{n}.{kind}.q.weight")
        for n, kind in ((0, "SelfAttention"), (1, "EncDecAttention"))
    )
    assert own.stack == cross.stack
    assert own.inner != cross.inner


def test_experts_are_numbered_and_a_tensor_of_all_experts_has_no_number():
    assert place("model.layers.4.mlp.experts.17.up_proj.weight").expert == 17
    assert place("model.layers.4.mlp.experts.gate_up_proj").expert is None


@settings(deadline=None)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["layers", "0", "lora_A", ".", "/", ":", "experts", "weight"])).map(".".join)
)
def test_any_name_has_a_place(name):
    where = place(name)
    assert where.role
    assert where.part
    assert where.block is None or where.block >= 0


@pytest.mark.parametrize("number", ["9" * 5000, "²", "٣"])
def test_what_is_no_plain_number_is_no_block(number):
    assert place(f"layers.{number}.q_proj.weight").role == "q"
    assert place(f"layers.{number}.q_proj.weight").block is None
    assert place(f"block{number}_conv/kernel").block is None
    assert place(f"experts.{number}.up_proj.weight").expert is None
