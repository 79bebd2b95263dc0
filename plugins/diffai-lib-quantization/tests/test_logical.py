"""Parts of adapters have a role of their own, whatever tool wrote them, and nothing else has it."""

from __future__ import annotations

import numpy as np
import pytest
from diffai_lib_quantization.logical import is_adapter_part, logical

from diffai_core.files import Source
from diffai_core.testing import artifact

PARTS = [
    "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
    "base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight",
    "base_model.model.model.embed_tokens.lora_embedding_A",
    "base_model.model.layers.1.mlp.down_proj.lora_magnitude_vector.weight",
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
    "layers.3.self_attn.v_proj.lora_a",
    "base_model.model.h.0.attn.c_attn.ia3_l",
    "base_model.model.q.hada_w1_a",
    "base_model.model.q.lokr_w2",
    "base_model.model.q.vera_lambda_d",
]
WHOLE = ["model.layers.0.q_proj.weight", "explora_A.weight", "flora_bias", "lora_alpha", "color_B.weight", "ia3_large"]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_an_adapter_is_told_by_its_name(name):
    assert is_adapter_part(name)


@pytest.mark.parametrize("name", WHOLE)
def test_what_only_sounds_like_an_adapter_is_none(name):
    assert not is_adapter_part(name)


def test_roles_are_given_and_nothing_else_changes(tmp_path):
    arrays = {name: np.ones(3, np.float32) for name in (*PARTS, *WHOLE)}
    found = logical(artifact(tensors=arrays).tensors, Source(tmp_path))
    assert list(found) == list(arrays)
    assert {name for name, ref in found.items() if ref.role == "adapter"} == set(PARTS)
    assert {ref.role for ref in found.values()} == {"adapter", "weights"}
