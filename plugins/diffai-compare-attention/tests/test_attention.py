"""The three analyses against planted truth: gauges, moved heads, edited heads, layouts, missing facts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

STEM = "model.layers.{}.self_attn.{}_proj.weight"
FOUR = {"config": {"num_attention_heads": 4, "model_type": "opt"}}
GROUPED = {"config": {"num_attention_heads": 4, "num_key_value_heads": 2}}
ROTARY = {"config": {"num_attention_heads": 4, "model_type": "llama", "rope_theta": 10000.0}}


def _copy(tensors):
    return {name: array.copy() for name, array in tensors.items()}


def _rebased(tensors, block=0, n_heads=4, dim=8, seed=9, turn=None):
    """Multiply queries and keys, values and outputs of each head by a matrix and its inverse."""
    rng, new = np.random.default_rng(seed), _copy(tensors)
    for head in range(n_heads):
        rows = slice(head * dim, (head + 1) * dim)
        for left, right in (("q", "k"), ("o", "v")):
            basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0] @ np.diag(rng.uniform(0.5, 2, dim))
            if left == "q" and turn is not None:
                basis = turn
            one, other = new[STEM.format(block, left)], new[STEM.format(block, right)]
            if left == "o":
                one[:, rows] = one[:, rows] @ np.linalg.inv(basis)
                other[rows] = basis @ other[rows]
            else:
                one[rows] = basis @ one[rows]
                other[rows] = np.linalg.inv(basis).T @ other[rows]
    return new


def _attend(tensors, block=0, n_heads=4, n_kv=4):
    """Return what the layer makes of a fixed input, by torch's own attention."""
    inputs = torch.randn(1, 10, 32, generator=torch.Generator().manual_seed(0))
    weights = {role: torch.from_numpy(tensors[STEM.format(block, role)]) for role in "qkvo"}
    q, k, v = ((inputs @ weights[role].T).unflatten(-1, (-1, 8)).transpose(1, 2) for role in "qkv")
    k, v = (one.repeat_interleave(n_heads // n_kv, dim=1) for one in (k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(-2) @ weights["o"].T


def test_another_basis_of_the_heads_changes_the_matrices_and_neither_circuits_nor_outputs(analyse, make_layers):
    old = make_layers(n_layers=1)
    new = _rebased(old)
    assert torch.allclose(_attend(old), _attend(new), atol=1e-4)
    values = analyse(old, new, tree=FOUR).values
    assert values["raw_rel_change"] > 1
    assert max(head["qk_delta_rel"] for head in values["heads"]) < 3e-7
    assert max(head["ov_delta_rel"] for head in values["heads"]) < 3e-7
    assert (values["pattern_changes"], values["output_changes"], values["rebased_layers"]) == (0, 0, 1)
    assert analyse(old, new, "attention-pattern-diff", FOUR).values["pattern"] == "unchanged"


def test_every_number_of_a_head_is_that_of_the_whole_matrices_of_torch(analyse, make_layers):
    old, new = make_layers(1, bias=True), make_layers(2, bias=True)
    heads = {(head["layer"], head["head"]): head for head in analyse(old, new, tree=FOUR).values["heads"]}
    assert len(heads) == 8
    for (layer, number), head in heads.items():
        block = int(layer.split(".")[2])
        rows, partner = slice(number * 8, number * 8 + 8), slice(head["old_head"] * 8, head["old_head"] * 8 + 8)
        wholes = {}
        for side, tensors, part in (("old", old, partner), ("new", new, rows)):
            weights = {role: torch.from_numpy(tensors[STEM.format(block, role)]).double() for role in "qkvo"}
            biases = {role: torch.from_numpy(tensors[STEM.format(block, role)[:-6] + "bias"]).double() for role in "qv"}
            queries = torch.cat([weights["q"][part], biases["q"][part, None]], 1)
            values = torch.cat([weights["v"][part], biases["v"][part, None]], 1)
            wholes["qk", side] = queries.T @ weights["k"][part]
            wholes["ov", side] = weights["o"][:, part] @ values
            wholes["copy", side] = weights["o"][:, part] @ weights["v"][part]
        for name in ("qk", "ov"):
            before, after = wholes[name, "old"], wholes[name, "new"]
            assert head[f"{name}_norm"] == pytest.approx(float(after.norm()))
            assert head[f"{name}_norm_old"] == pytest.approx(float(before.norm()))
            assert head[f"{name}_delta_rel"] == pytest.approx(float((after - before).norm() / before.norm()))
            values = torch.linalg.svdvals(after)[:8]
            assert head[f"{name}_sigma1"] == pytest.approx(float(values[0]))
            shares = values / values.sum()
            assert head[f"{name}_erank"] == pytest.approx(float(torch.exp(torch.special.entr(shares).sum())))
        assert head["ov_trace_rel"] == pytest.approx(float(wholes["copy", "new"].trace() / wholes["ov", "new"].norm()))


def test_heads_that_changed_places_are_found_and_the_change_is_undone(analyse, make_layers):
    old, order = make_layers(n_layers=1), [2, 0, 3, 1]
    rows = np.concatenate([np.arange(8) + 8 * head for head in order])
    new = {name: array[:, rows] if ".o_proj" in name else array[rows] for name, array in old.items()}
    found = analyse(old, new, tree=FOUR)
    assert [head["old_head"] for head in found.values["heads"]] == order
    assert found.values["by_layer"][0]["permutation"] == order
    assert found.values["permuted_layers"] == 1
    assert found.values["pattern_changes"] == found.values["output_changes"] == 0
    assert "1 layers heads changed places" in found.message
    assert analyse(old, new, "attention-pattern-diff", FOUR).values["pattern"] == "moved"


@pytest.mark.parametrize("tree", [GROUPED, GROUPED["config"] | ROTARY["config"] | {"num_key_value_heads": 2}])
def test_with_grouped_queries_groups_that_changed_places_are_found(analyse, make_layers, tree):
    old = make_layers(n_layers=1, n_kv=2)
    queries = np.concatenate([np.arange(8) + 8 * head for head in (3, 2, 0, 1)])
    keys = np.concatenate([np.arange(8, 16), np.arange(8)])
    new = _copy(old)
    for role, rows in (("q", queries), ("k", keys), ("v", keys)):
        new[STEM.format(0, role)] = old[STEM.format(0, role)][rows]
    new[STEM.format(0, "o")] = old[STEM.format(0, "o")][:, queries]
    assert torch.allclose(_attend(old, n_kv=2), _attend(new, n_kv=2), atol=1e-5)
    values = analyse(old, new, tree=tree).values
    assert [head["old_head"] for head in values["heads"]] == [3, 2, 0, 1]
    assert [head["kv_head"] for head in values["heads"]] == [0, 0, 1, 1]
    assert values["pattern_changes"] == values["output_changes"] == 0


def test_one_edited_head_is_the_only_one_that_changed(analyse, make_layers):
    old = make_layers()
    new = _copy(old)
    new[STEM.format(1, "q")][8:16] *= 1.5
    values = analyse(old, new, tree=FOUR).values
    changed = [(head["layer"], head["head"]) for head in values["heads"] if head["qk_delta_rel"] > 0]
    assert changed == [("model.layers.1.self_attn", 1)]
    assert (values["pattern_changes"], values["output_changes"]) == (1, 0)
    edited = next(head for head in values["heads"] if head["qk_delta_rel"] > 0)
    assert edited["qk_delta_rel"] == pytest.approx(0.5)
    assert edited["qk_cos"] == pytest.approx(1)
    pattern = analyse(old, new, "attention-pattern-diff", FOUR).values
    assert (pattern["pattern"], pattern["changed_heads"]) == ("partly changed", 1)


def test_a_bias_of_the_keys_changes_nothing_where_positions_do_not_rotate(analyse, make_layers):
    old = make_layers(n_layers=1, bias=True)
    new = _copy(old)
    new[STEM.format(0, "k")[:-6] + "bias"] += 1
    assert analyse(old, new, tree=FOUR).values["pattern_changes"] == 0
    assert analyse(old, new, tree=ROTARY).values["pattern_changes"] == 4
    new = _copy(old)
    new[STEM.format(0, "q")[:-6] + "bias"] += 1
    assert analyse(old, new, tree=FOUR).values["pattern_changes"] == 4


def test_where_positions_rotate_only_turns_of_a_pair_are_free(analyse, make_layers):
    old = make_layers(n_layers=1)
    angles = np.arange(1, 5)
    turn = np.zeros((8, 8))
    for pair, angle in enumerate(angles):
        cos, sin = np.cos(angle), np.sin(angle)
        turn[np.ix_([pair, pair + 4], [pair, pair + 4])] = [[cos, -sin], [sin, cos]]
    free = analyse(old, _rebased(old, turn=turn), tree=ROTARY).values
    assert free["positions"] == "rotary"
    assert free["pattern_changes"] == 0
    assert free["raw_rel_change"] > 0.5
    other = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))[0]
    assert analyse(old, _rebased(old, turn=other), tree=ROTARY).values["pattern_changes"] == 4
    assert analyse(old, _rebased(old, turn=other), tree=FOUR).values["pattern_changes"] == 0


def test_telling_file_names_and_other_tensors_say_nothing(analyse, make_layers):
    old, new = make_layers(1), make_layers(2)
    plain = analyse(old, new, tree=FOUR)
    assert analyse(old, new, tree=FOUR, label="bert_attention_12_heads.safetensors") == plain
    other = {"fc.weight": np.ones((4, 4), np.float32)}
    found = analyse(other, {name: 2 * array for name, array in other.items()}, label="gpt2-attention.pt")
    assert found.status == "not_measurable"
    assert "no tensors that are named as queries and keys" in found.message


def test_weights_that_are_not_finite_are_named(analyse, make_layers):
    old = make_layers(n_layers=1)
    new = _copy(old)
    new[STEM.format(0, "q")][3, 3] = np.nan
    found = analyse(old, new, tree=FOUR)
    assert found.status == "not_measurable"
    assert "NaN" in found.message


def test_heads_beside_a_layer_that_was_not_measured_are_unchanged_where_measured_only(analyse, make_layers):
    old = make_layers(n_layers=2)
    new = _copy(old)
    new[STEM.format(0, "q")][3, 3] = np.nan
    found = analyse(old, new, "attention-pattern-diff", FOUR)
    assert found.values["pattern"] == "unchanged where measured"
    assert len(found.values["skipped"]) == 1


def test_a_layer_that_did_not_change_is_measured_and_has_no_change(analyse, make_layers):
    old = make_layers()
    values = analyse(old, _copy(old), tree=FOUR).values
    assert {head["qk_delta_rel"] for head in values["heads"]} == {0.0}
    assert {head["ov_cos"] for head in values["heads"]} == {1.0}
    assert values["raw_rel_change"] == 0.0


def test_heads_that_only_new_has_are_told_and_not_compared(analyse, make_layers):
    old, new = make_layers(1, n_layers=1), make_layers(1, n_layers=1, n_heads=6, n_kv=6)
    for role in "qkv":
        new[STEM.format(0, role)][:32] = old[STEM.format(0, role)]
    new[STEM.format(0, "o")][:, :32] = old[STEM.format(0, "o")]
    trees = [{"config": {"num_attention_heads": n}} for n in (4, 6)]
    values = analyse(old, new, tree=trees[0], new_tree=trees[1]).values
    assert [head["old_head"] for head in values["heads"]] == [0, 1, 2, 3, None, None]
    assert values["heads"][5]["qk_delta_rel"] is None
    assert values["pattern_changes"] == 0
    pattern = analyse(old, new, "attention-pattern-diff", trees[0], new_tree=trees[1])
    assert pattern.values["pattern"] == "other heads"


def test_a_head_that_writes_nothing_can_be_pruned_and_the_largest_is_the_first(analyse, make_layers):
    old = make_layers()
    new = _copy(old)
    new[STEM.format(0, "v")][16:24] = 0
    new[STEM.format(1, "o")][:, :8] *= 10
    found = analyse(old, new, "head-importance", FOUR)
    assert found.status == "estimated"
    assert found.values["prunable_heads"] == ["model.layers.0.self_attn.head2"]
    assert "model.layers.1.self_attn.head0" in found.values["important_heads"]
    rows = {(row["layer"], row["head"]): row for row in found.values["heads"]}
    dead = rows["model.layers.0.self_attn", 2]
    assert (dead["importance_rank_in_layer"], dead["vo_norm"], dead["ov_norm"]) == (4, 0.0, 0.0)
    sizes = [
        float(
            np.linalg.norm(new[STEM.format(1, "v")][8 * h : 8 * h + 8])
            * np.linalg.norm(new[STEM.format(1, "o")][:, 8 * h : 8 * h + 8])
        )
        for h in range(4)
    ]
    layer = [rows["model.layers.1.self_attn", head] for head in range(4)]
    assert [row["vo_norm"] for row in layer] == pytest.approx(sizes, rel=1e-6)
    expected = (np.array(sizes) - np.mean(sizes)) / np.std(sizes)
    assert [row["importance_z"] for row in layer] == pytest.approx(expected.tolist(), rel=1e-6)
    assert [row["importance_rank_in_layer"] for row in layer] == [
        int(rank) for rank in np.argsort(np.argsort(sizes)[::-1]) + 1
    ]


def test_heads_that_copy_are_told_from_those_that_write_the_opposite(analyse, make_layers):
    old = make_layers(n_layers=1, width=256)
    new = _copy(old)
    new[STEM.format(0, "o")][:, :8] = new[STEM.format(0, "v")][:8].T
    new[STEM.format(0, "o")][:, 8:16] = -new[STEM.format(0, "v")][8:16].T
    values = analyse(old, new, "head-importance", FOUR).values
    assert values["specializations"] == {"copies": 1, "writes the opposite": 1}
    assert [head["specialization"] for head in values["heads"]][:2] == ["copies", "writes the opposite"]


def test_of_a_large_model_evenly_spaced_layers_are_measured(analyse, make_layers, monkeypatch):
    old, new = make_layers(1, n_layers=8), make_layers(2, n_layers=8)
    monkeypatch.setattr("diffai_compare_attention.survey.MAX_WORK", 4 * 28.0 * 4 * 64 * 32)
    found = analyse(old, new, tree=FOUR)
    assert [row["layer"].split(".")[2] for row in found.values["by_layer"]] == ["0", "2", "4", "6"]
    assert found.coverage == pytest.approx(0.5)
    assert "4 of 8 layers" in found.message
