"""What configurations say, where they lie in practice."""

from __future__ import annotations

import pytest
from diffai_lib_layers import Fact, facts_of
from hypothesis import given, settings
from hypothesis import strategies as st

from diffai_core.testing import artifact

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
GGUF = {
    "general.architecture": "qwen2moe",
    "qwen2moe.block_count": 24,
    "qwen2moe.attention.head_count": 16,
    "qwen2moe.attention.head_count_kv": [16, 16],
    "qwen2moe.expert_count": 60,
    "qwen2moe.expert_used_count": 4,
    "qwen2moe.embedding_length": 2048,
    "tokenizer.ggml.tokens": ["a", "b", "c"],
}


def facts(**tree):
    return facts_of(artifact(tree=tree))


def test_a_folder_says_it_in_its_config_json():
    found = facts(**{"config.json": LLAMA})
    assert found.n_heads == Fact(32, '["config.json"].num_attention_heads')
    assert (found.n_kv_heads.value, found.n_layers.value, found.hidden_size.value) == (8, 32, 4096)
    assert (found.vocab_size.value, found.max_positions.value, found.rope_theta.value) == (128256, 131072, 500000.0)
    assert (found.tie_word_embeddings.value, found.model_type.value) == (False, "llama")
    assert found.architectures.value == ["LlamaForCausalLM"]
    assert found.head_dim is None
    assert found.ambiguous == {}


def test_a_configuration_by_itself_says_it_at_the_root():
    assert facts(**LLAMA).n_heads == Fact(32, "num_attention_heads")


@pytest.mark.parametrize("holder", ["config", "model_args", "hyper_parameters", "args"])
def test_a_checkpoint_says_it_under_the_usual_keys(holder):
    assert facts(**{holder: {"n_head": 6, "n_embd": 384}, "epoch": 3}).n_heads == Fact(6, f"{holder}.n_head")


def test_gguf_says_it_under_the_name_of_its_architecture():
    found = facts(**GGUF)
    assert found.model_type == Fact("qwen2moe", '["general.architecture"]')
    assert found.n_heads == Fact(16, '["qwen2moe.attention.head_count"]')
    assert (found.n_kv_heads.value, found.n_experts.value, found.n_experts_used.value) == (16, 60, 4)
    assert found.vocab_size.value == 3


def test_heads_that_differ_from_layer_to_layer_are_not_one_number():
    assert facts(**{**GGUF, "qwen2moe.attention.head_count_kv": [16, 8]}).n_kv_heads is None


def test_the_place_nearest_to_the_root_counts():
    tree = {"config.json": {"num_attention_heads": 8, "text_config": {"num_attention_heads": 4, "vocab_size": 9}}}
    found = facts(**tree)
    assert found.n_heads.value == 8
    assert found.vocab_size == Fact(9, '["config.json"].text_config.vocab_size')


def test_two_places_that_disagree_are_ambiguous_and_both_are_named():
    found = facts(config={"n_head": 6}, model_args={"n_head": 8})
    assert found.n_heads is None
    assert found.ambiguous == {"n_heads": ("config.n_head", "model_args.n_head")}


def test_encoder_and_decoder_with_other_heads_are_not_one_number():
    assert facts(encoder_attention_heads=6, decoder_attention_heads=8).n_heads is None
    assert facts(encoder_attention_heads=6, decoder_attention_heads=6).n_heads.value == 6


@pytest.mark.parametrize("value", [0, -3, "12", 1.5, True, None, 1 << 80, [], [8, 4]])
def test_what_cannot_be_a_number_of_heads_is_not_taken_for_one(value):
    assert facts(config={"num_attention_heads": value}).n_heads is None


def test_other_things_of_the_same_name_are_not_the_model():
    assert facts(optimizer={"n_layers": 3}, vision_config={"num_attention_heads": 3}).n_heads is None


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "n_head", "model", "general.architecture", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["config", "config.json", "n_head", "model_type"]), plain, max_size=4))
def test_any_tree_is_read(tree):
    found = facts(**tree)
    assert found.n_heads is None or found.n_heads.value > 0
