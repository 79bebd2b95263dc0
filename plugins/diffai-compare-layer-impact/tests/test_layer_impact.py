"""Planted changes: how large they are, where they are, and what the map and the summary say of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diffai_compare_layer_impact.heatmap import MAX_ROWS, scale_of
from diffai_compare_layer_impact.plugin import diffai_comparators
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from diffai_core.testing import artifact
from diffai_core.testing.running import run_comparator

(SPEC,) = diffai_comparators()
SHAPES = {
    "self_attn.q_proj.weight": (16, 8),
    "mlp.up_proj.weight": (24, 8),
    "mlp.down_proj.weight": (8, 24),
    "input_layernorm.weight": (8,),
}


def model(n_blocks=12, seed=0, prefix="model.layers"):
    rng = np.random.default_rng(seed)
    return {
        f"{prefix}.{block}.{name}": rng.normal(size=shape)
        for block in range(n_blocks)
        for name, shape in SHAPES.items()
    }


def changed(tensors, size):
    """Return the tensors, each changed by ``size(name)`` of its norm in a random direction."""
    rng = np.random.default_rng(9)
    found = {}
    for name, values in tensors.items():
        step = rng.normal(size=values.shape)
        found[name] = values + size(name) * step * np.linalg.norm(values) / np.linalg.norm(step)
    return found


def findings(old, new, **tree):
    return run_comparator(SPEC, artifact(old, tree), artifact(new, tree), {})


def summary(old, new, **tree):
    return findings(old, new, **tree)[0]


def block_of(name):
    return int(name.split(".")[2])


def test_relative_changes_and_shares_are_those_of_numpy():
    old = model()
    new = changed(old, lambda name: 1e-3 * (1 + block_of(name)))
    found = {tensor["name"]: tensor for tensor in summary(old, new).values["tensors"]}
    total = sum(np.square(new[name] - old[name]).sum() for name in old)
    for name in old:
        delta = new[name] - old[name]
        assert found[name]["rel_change"] == pytest.approx(np.linalg.norm(delta) / np.linalg.norm(old[name]))
        assert found[name]["energy_share"] == pytest.approx(np.square(delta).sum() / total)
    assert sum(tensor["parameter_share"] for tensor in found.values()) == pytest.approx(1)


def test_concentration_is_the_share_of_the_change_over_the_share_of_the_weights():
    old = model()
    target = "model.layers.7.mlp.down_proj.weight"
    values = summary(old, changed(old, lambda name: 0.1 * (name == target))).values
    assert (values["largest_share"], values["largest_matrix"]) == (target, target)
    assert values["energy_share"] == pytest.approx(1)
    assert values["parameter_share"] == pytest.approx(old[target].size / sum(one.size for one in old.values()))
    assert values["concentration"] == pytest.approx(1 / values["parameter_share"])
    assert (values["blocks_changed"], values["blocks"]) == (1, 12)


def test_matrices_and_vectors_are_ranked_by_themselves():
    old = model()
    values = summary(old, changed(old, lambda name: 0.5 if "norm" in name else 0.01)).values
    assert "layernorm" in values["largest_vector"]
    assert "layernorm" not in values["largest_matrix"]
    assert values["vector_rel_change"] == pytest.approx(0.5)
    assert values["matrix_rel_change"] == pytest.approx(0.01)


def test_the_slope_over_depth_is_the_planted_one_and_agrees_with_scipy():
    old = model()
    rng = np.random.default_rng(3)
    sizes = [1e-4 * 10 ** (0.15 * block + 0.05 * rng.normal()) for block in range(12)]
    values = summary(old, changed(old, lambda name: sizes[block_of(name)])).values
    expected = stats.theilslopes(np.log10(sizes), np.arange(12))
    assert values["depth_decades_per_block"] == pytest.approx(expected.slope)
    assert values["depth_decades_per_block_ci"] == pytest.approx([expected.low_slope, expected.high_slope])
    assert (values["depth_blocks"], values["depth_stack"]) == (12, "model.layers")


def test_roles_that_only_some_blocks_have_do_not_bend_the_slope():
    old = {name: values for name, values in model().items() if "down" not in name or block_of(name) > 5}
    values = summary(old, changed(old, lambda name: 0.3 if "down" in name else 1e-3)).values
    assert values["depth_decades_per_block"] == pytest.approx(0, abs=1e-9)


def test_few_changed_blocks_have_no_slope_and_the_message_says_so():
    old = model()
    found = summary(old, changed(old, lambda name: 0.1 * (block_of(name) >= 10)))
    assert "depth_decades_per_block" not in found.values
    assert "fewer than 6 blocks" in found.message


def test_the_layer_that_stands_out_is_told_and_no_other():
    old = model(n_blocks=24)
    rng = np.random.default_rng(5)
    sizes = {name: 1e-3 * 10 ** (0.05 * block_of(name) + 0.05 * rng.normal()) for name in old}
    sizes["model.layers.13.mlp.up_proj.weight"] *= 8
    outliers = findings(old, changed(old, sizes.__getitem__))[1:]
    assert [finding.where for finding in outliers] == ["model.layers.13.mlp.up_proj.weight"]
    assert abs(outliers[0].values["z"]) > outliers[0].threshold


def test_the_row_and_the_head_that_changed_most_are_the_planted_ones():
    old = model(2)
    name = "model.layers.1.self_attn.q_proj.weight"
    new = {key: values.copy() for key, values in old.items()}
    new[name][9] += 0.5
    found = next(
        tensor
        for tensor in summary(old, new, config={"num_attention_heads": 4}).values["tensors"]
        if tensor["name"] == name
    )
    assert (found["max_row"], found["max_head"], found["changed_rows_share"]) == (9, 2, 1 / 16)
    expected = np.linalg.norm(new[name][8:12] - old[name][8:12]) / np.linalg.norm(old[name][8:12])
    assert found["max_head_rel_change"] == pytest.approx(expected)
    assert "max_head" not in next(tensor for tensor in summary(old, new).values["tensors"] if tensor["name"] == name)


def test_tied_tensors_are_counted_once():
    old, new = model(2), changed(model(2), lambda _: 0.1)
    alone = summary(old, new).values["delta_norm"]
    sides = []
    for tensors in (old, new):
        side = artifact({**tensors, "tied.weight": tensors["model.layers.0.mlp.up_proj.weight"]})
        refs = dict(side.tensors)
        refs["model.layers.0.mlp.up_proj.weight"] = replace(
            refs["model.layers.0.mlp.up_proj.weight"], shared_storage="one"
        )
        refs["tied.weight"] = replace(refs["tied.weight"], shared_storage="one")
        sides.append(replace(side, tensors=refs))
    values = run_comparator(SPEC, *sides, {})[0].values
    assert values["delta_norm"] == pytest.approx(alone)
    tied = [tensor["tied_to"] for tensor in values["tensors"] if "tied_to" in tensor]
    assert tied == ["model.layers.0.mlp.up_proj.weight"]


def test_a_change_from_zero_has_a_share_and_no_relative_change():
    old = {"fc.weight": np.zeros((4, 4)), "fc2.weight": np.ones((4, 4))}
    found = summary(old, {"fc.weight": np.ones((4, 4)), "fc2.weight": np.ones((4, 4))})
    tensor = found.values["tensors"][0]
    assert (tensor["name"], tensor["rel_change"], tensor["energy_share"]) == ("fc.weight", None, 1.0)
    assert any("?" in line for line in found.detail)


def test_what_could_not_be_compared_lowers_the_coverage():
    old, new = model(2), changed(model(2), lambda _: 0.1)
    new["model.layers.0.mlp.up_proj.weight"] = np.zeros((25, 8))
    found = summary(old, new)
    assert found.coverage == pytest.approx(1 - 200 / (sum(one.size for one in old.values()) + 8))


def test_without_weights_in_common_it_is_not_measurable():
    found = summary({"a.weight": np.ones((2, 2))}, {"b.weight": np.zeros((3, 3))})
    assert found.status == "not_measurable"
    assert "same shape" in found.message


def test_no_change_is_said_in_words_and_draws_nothing():
    found = summary(model(), model())
    assert (found.message, found.detail, found.values["delta_norm"]) == ("no weight changed", (), 0)


def test_the_map_shades_by_decades_above_one_rounding():
    scale = scale_of([3e-3, 0.2, 1e-6], 1.66e-3)
    assert scale.breaks == (1.66e-3, 1e-2, 1e-1)
    assert [scale.glyph(value) for value in (1e-3, 5e-3, 0.05, 0.5)] == ["░", "▒", "▓", "█"]
    assert [glyph for glyph in scale.legend if glyph in "=·░▒▓█"][:2] == ["=", "░"]


def test_the_map_shows_each_block_in_the_shade_of_its_change():
    old = model(4)
    sizes = [0.0, 1e-4, 1e-3, 0.5]
    lines = summary(old, changed(old, lambda name: sizes[block_of(name)])).detail
    drawn = {line.split()[0]: line.split()[1:] for line in lines if line[:1].isdigit()}
    assert drawn == {"0": ["="] * 4, "1": ["░"] * 4, "2": ["░"] * 4, "3": ["█"] * 4} or drawn["3"] == ["█"] * 4
    assert drawn["0"] == ["="] * 4


def test_blocks_that_look_alike_are_one_line():
    lines = summary(model(), changed(model(), lambda name: 0.1 * (block_of(name) == 5))).detail
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == ["0-4", "5", "6-11"]


def test_a_long_model_is_folded_and_says_how_much_is_not_shown():
    old = model(100)
    found = summary(old, changed(old, lambda name: [1e-4, 0.3][block_of(name) % 2] * (1 + block_of(name) / 100)))
    rows = [line for line in found.detail if line[:1].isdigit()]
    assert len(rows) == MAX_ROWS
    assert any(line.startswith(f"… {100 - MAX_ROWS} blocks not shown") for line in found.detail)
    assert len(found.values["layers"]) == 400


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(["embed", "a" * 90, "layers.3.q_proj", "blocks.1.0.conv", "ü" * 40]), min_size=1, unique=True
    )
)
def test_lines_of_the_map_fit_into_eighty_columns(names):
    old = {
        f"{name}.{part}": np.ones((2, 3)) for name in names for part in ("weight", "q.weight", "gate_up_proj.weight")
    }
    found = summary(old, {name: values + 0.1 for name, values in old.items()})
    assert all(len(line) <= 78 for line in found.detail)


@pytest.mark.parametrize("factor", [2.0, 10.0])
def test_the_answers_scale_with_the_change_and_not_with_the_weights(factor):
    old = model(8)
    once, more = (summary(old, changed(old, lambda name, size=size: size)).values for size in (0.01, 0.01 * factor))
    assert more["matrix_rel_change"] == pytest.approx(factor * once["matrix_rel_change"])
    assert more["delta_norm"] == pytest.approx(factor * once["delta_norm"])
    scaled = summary(
        *({name: factor * one for name, one in side.items()} for side in (old, changed(old, lambda _: 0.01)))
    ).values
    assert scaled["matrix_rel_change"] == pytest.approx(once["matrix_rel_change"])
    assert scaled["energy_share"] == pytest.approx(once["energy_share"])


def test_file_names_tell_nothing():
    old = model(7)
    sides = artifact(old), artifact(changed(old, lambda _: 0.1))
    named = replace(sides[1], name="epoch_50_lr_0.01.pt")
    assert run_comparator(SPEC, sides[0], named, {}) == run_comparator(SPEC, *sides, {})


def test_renamed_blocks_are_placed_by_their_new_names():
    old = model(7)
    new = {f"module.{name}": values for name, values in changed(old, lambda _: 0.1).items()}
    values = summary(old, new).values
    assert (values["blocks_changed"], values["blocks"]) == (7, 7)
    assert values["largest_matrix"].startswith("module.")


def test_integers_are_no_weights():
    old = {"fc.weight": np.ones((4, 4)), "ids": np.arange(4)}
    values = summary(old, {"fc.weight": np.full((4, 4), 1.5), "ids": np.arange(4) + 1}).values
    assert [tensor["name"] for tensor in values["tensors"]] == ["fc.weight"]


@pytest.mark.parametrize("prefix", [f"layers.{'9' * 5000}.blocks", "²", "a٣b", "layers.10.blocks"])
def test_any_name_of_a_stack_has_a_place_in_the_map(prefix):
    old = model(3, prefix=prefix) | {"layers.9.blocks.0.fc1.weight": np.ones((2, 2))}
    found = summary(old, {name: values + 0.1 for name, values in old.items()})
    assert found.values["blocks"] == 4
