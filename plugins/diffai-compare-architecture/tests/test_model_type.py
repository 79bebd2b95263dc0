"""Families by the names of tensors: published models with other depths, prefixes and heads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffai_compare_architecture.families import patterns_of, recognise
from diffai_compare_architecture.plugin import diffai_comparators
from diffai_lib_layers import place

from diffai_core.plugin import Artifact, BlockTensor, dtype
from diffai_core.testing.running import run_comparator

SPEC = next(spec for spec in diffai_comparators() if spec.name == "model-type")
LISTS = Path(__file__).parents[2] / "diffai-lib-layers/tests/names"
TRANSFORMERS = json.loads((LISTS / "transformers.json").read_text(encoding="utf-8"))
UNALIKE = [
    "bert",
    "gpt2",
    "llama",
    "qwen2",
    "qwen3",
    "mixtral",
    "gpt_neox",
    "falcon",
    "bloom",
    "opt",
    "mamba",
    "t5",
    "whisper",
    "vit",
]


def names_of(family):
    return {name: tuple(shape) for name, (shape, _) in TRANSFORMERS[family].items()}


def answer(old, new=None, tree=None):
    sides = [
        Artifact(
            name="m",
            format="test",
            tensors={
                name: BlockTensor(
                    name=name, shape=shape, dtype=dtype("float32"), open_blocks=lambda _: iter(()), shared_storage=name
                )
                for name, shape in names.items()
            },
            tree=tree or {},
        )
        for names in (old, old if new is None else new)
    ]
    (found,) = run_comparator(SPEC, *sides, {})
    return found


@pytest.mark.parametrize("family", UNALIKE)
def test_a_family_is_known_by_its_names_whatever_wraps_them(family):
    wrapped = {f"module._orig_mod.{name}": shape for name, shape in names_of(family).items()}
    values = answer(wrapped).values
    assert family in values["families1"]
    assert values["confidence1"] == 1
    assert values["declared1"] is None


@pytest.mark.parametrize("family", UNALIKE)
def test_a_model_of_another_depth_without_its_head_is_the_same_family(family):
    names = {name: shape for name, shape in names_of(family).items() if place(name).role != "head"}
    deeper = names | {name.replace(".0.", ".7.", 1): shape for name, shape in names.items() if ".0." in name}
    assert family in answer(deeper).values["families1"]


def test_names_that_two_families_share_give_both():
    assert set(answer(names_of("llama")).values["families1"]) == {"llama", "mistral"}


def test_unknown_names_are_no_family():
    values = answer({"zeta.0.foo.weight": (3, 4), "zeta.1.foo.weight": (4, 3)}).values
    assert (values["families1"], values["confidence1"]) == ([], None)
    assert recognise(frozenset()) is None


def test_what_is_missing_lowers_the_confidence_and_what_is_new_is_counted():
    names = names_of("gpt2")
    partial = {name: shape for name, shape in names.items() if "ln_1" not in name} | {"h.0.adapter.weight": (3, 3)}
    found = answer(partial).values
    assert found["families1"] == ["gpt2"]
    assert found["confidence1"] == pytest.approx(found["matched_patterns1"] / found["expected_patterns1"])
    assert found["confidence1"] < 1
    assert found["unexplained_patterns1"] == 1


def test_the_configuration_goes_before_the_names_and_both_are_told():
    tree = {"config.json": {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}}
    values = answer(names_of("llama"), tree=tree).values
    assert (values["type1"], values["declared1"]) == ("mistral", "mistral")
    assert values["declared_architectures1"] == ["MistralForCausalLM"]
    assert "llama" in values["families1"]


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("llama", "transformer"),
        ("t5", "encoder-decoder transformer"),
        ("mixtral", "mixture-of-experts transformer"),
        ("mamba", "state space model"),
        ("resnet", "convolutional network"),
    ],
)
def test_the_kind_follows_from_the_roles_of_the_layers(family, kind):
    assert answer(names_of(family)).values["kind1"] == kind


def test_adapters_by_themselves_are_adapters():
    names = {f"base_model.model.model.layers.0.self_attn.q_proj.lora_{one}.weight": (4, 4) for one in "AB"}
    assert answer(names).values["kind1"] == "adapter"


def test_one_side_without_weights_is_said():
    found = answer({}, names_of("gpt2"))
    assert (found.status, found.values["type1"], found.values["families2"]) == ("bounded", None, ["gpt2"])
    assert "OLD: no weights" in found.message


def test_patterns_do_not_hang_on_the_number_of_blocks():
    few, many = ([f"model.layers.{n}.mlp.up_proj.weight" for n in range(count)] for count in (2, 90))
    assert patterns_of(map(place, few)) == patterns_of(map(place, many))
