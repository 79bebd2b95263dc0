"""Names of real models: what their libraries say a layer is (its class) against what its name and shape tell."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from diffai_lib_layers import place, places

from diffai_core.plugin import BlockTensor, dtype

LISTS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("names/*.json")}
MODELS = [
    pytest.param(model, id=f"{library}-{name}") for library in sorted(LISTS) for name, model in LISTS[library].items()
]
DENSE = {
    "q",
    "k",
    "v",
    "qkv",
    "kv",
    "q_a",
    "q_b",
    "kv_a",
    "kv_b",
    "o",
    "gate",
    "up",
    "gate_up",
    "down",
    "mlp",
    "head",
    "router",
    "lora_a",
    "lora_b",
    "ssm",
    "position",
}
ROLES = DENSE | {"norm", "embed", "conv", "bn", "expert", "rnn", "scale", "other"}


def tensors(names):
    return {
        name: BlockTensor(name=name, shape=tuple(shape), dtype=dtype("float32"), open_blocks=lambda _: iter(()))
        for name, (shape, _) in names.items()
    }


def model(library, name):
    return places(tensors(LISTS[library][name]))


def allowed(module):
    """Return the roles that a layer of this class of PyTorch can have; empty if the class does not tell."""
    if module == "Embedding":
        return {"embed", "position"}
    if module in {"Linear", "Conv1D", "NonDynamicallyQuantizableLinear"}:
        return DENSE
    if module.startswith("Conv") and module[4:] in {"1d", "2d", "3d"}:
        return {"conv", "q", "k", "v", "o", "qkv", "head", "position"}
    if "BatchNorm" in module:
        return {"bn"}
    return {"norm"} if module.endswith("Norm") else set()


@pytest.mark.parametrize("names", MODELS)
def test_the_role_of_each_layer_is_one_that_its_class_can_have(names):
    found = places(tensors(names))
    wrong = {
        name: (module, found[name].role)
        for name, (_, module) in names.items()
        if allowed(module) and found[name].role not in allowed(module)
    }
    assert wrong == {}
    assert {where.role for where in found.values()} <= ROLES


@pytest.mark.parametrize("names", MODELS)
def test_hardly_a_parameter_has_no_role(names):
    found = places(tensors(names))
    assert sum(where.role == "other" for where in found.values()) <= 0.1 * len(found)


def test_ten_thousand_names_take_less_than_a_third_of_a_second():
    names = [f"model.layers.{n // 100}.mlp.experts.{n % 100}.gate_proj.weight" for n in range(10_000)]
    best = min(_cpu_seconds(names) for _ in range(3))
    assert best < 0.3


def _cpu_seconds(names):
    start = time.process_time()
    for name in names:
        place(name)
    return time.process_time() - start


def test_the_bias_of_an_attention_that_is_a_mask_is_called_so():
    names = {
        "h.0.attn.bias": ((1, 1, 8, 8), ""),
        "h.0.attn.c_attn.bias": ((24,), ""),
        "h.0.attn.c_attn.weight": ((8, 24), ""),
    }
    assert [where.part for where in places(tensors(names)).values()] == ["mask", "bias", "weight"]
