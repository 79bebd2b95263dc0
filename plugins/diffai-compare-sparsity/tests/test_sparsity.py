"""Zeros and patterns: against torch.nn.utils.prune, NumPy, probabilities and planted masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from diffai_compare_sparsity.patterns import Pattern, exactly_two, find_pattern, jaccard_null, share_2_4
from torch.nn.utils import prune

from diffai_core.testing import artifact, tensor

RNG = np.random.default_rng(7)
W = RNG.standard_normal((64, 128)).astype(np.float32)
V = RNG.standard_normal((48, 96)).astype(np.float32)
OLD = {"a.weight": W, "b.weight": V}


def _rows(summary: Any) -> dict[str, Any]:
    return {row["tensor"]: row for row in summary.values["tensors"]}


def _masked(matrix: Any, kept: int, width: int) -> Any:
    """Keep the largest ``kept`` of each ``width`` elements of a row, as pruning to a pattern does."""
    groups = matrix.reshape(-1, width)
    order = np.argsort(np.abs(groups), axis=1)[:, : width - kept]
    found = groups.copy()
    np.put_along_axis(found, order, 0, axis=1)
    return found.reshape(matrix.shape)


def _pruned(amount: float, method: Any = prune.l1_unstructured, **how: Any) -> Any:
    layer = torch.nn.Linear(128, 64)
    layer.weight.data = torch.tensor(W)
    method(layer, "weight", amount=amount, **how)
    return layer.weight.detach().numpy()


def test_pruning_by_pytorch_is_counted(sparsity: Any) -> None:
    new = _pruned(0.3)
    summary, flagged = sparsity(OLD, {**OLD, "a.weight": new})
    row = _rows(summary)["a.weight"]
    assert row["n_zero"] == int(np.count_nonzero(new == 0)) == round(0.3 * W.size)
    assert (row["newly_zero"], row["regrown"], row["class"]) == (row["n_zero"], 0, "unstructured")
    assert summary.values["zero_share"] == row["n_zero"] / (W.size + V.size)
    assert (summary.values["zero_share_old"], summary.values["classes_old"]) == (0.0, {"dense": 2})
    assert (flagged, summary.coverage) == ({}, 1.0)


@pytest.mark.parametrize(("dim", "which"), [(0, "zero_rows"), (1, "zero_columns")])
def test_structured_pruning_by_pytorch_is_told_by_its_rows_or_columns(sparsity: Any, dim: int, which: str) -> None:
    new = _pruned(0.25, prune.ln_structured, n=2, dim=dim)
    row = _rows(sparsity({"a.weight": W}, {"a.weight": new})[0])["a.weight"]
    assert row["class"] == "structured"
    assert row[which] == W.shape[dim] // 4
    assert row["zero_columns" if dim == 0 else "zero_rows"] == 0
    assert row["zero_rows_old"] == row["zero_columns_old"] == 0


def test_masks_are_held_against_each_other_and_against_chance(sparsity: Any) -> None:
    masks = [RNG.random(W.shape) < share for share in (0.4, 0.6)]
    sides = [np.where(mask, np.float32(0), W) for mask in masks]
    row = _rows(sparsity({"w": sides[0]}, {"w": sides[1]})[0])["w"]
    both, either = np.count_nonzero(masks[0] & masks[1]), np.count_nonzero(masks[0] | masks[1])
    assert row["mask_jaccard"] == both / either
    assert row["mask_jaccard_null"] == pytest.approx(both / either, abs=0.02)
    assert row["newly_zero"] == np.count_nonzero(masks[1] & ~masks[0])
    assert row["regrown"] == np.count_nonzero(masks[0] & ~masks[1])


@pytest.mark.parametrize(("kept", "width"), [(2, 4), (1, 4), (4, 8), (1, 16), (2, 16)])
def test_a_planted_pattern_is_named(sparsity: Any, kept: int, width: int) -> None:
    summary, _ = sparsity({"w": W}, {"w": _masked(W, kept, width)})
    row = _rows(summary)["w"]
    assert (row["class"], row["pattern"]) == (f"{kept}:{width}", f"{kept}:{width} along axis 1")
    assert summary.values["classes"] == {f"{kept}:{width}": 1}


def test_a_pattern_along_the_inputs_of_a_transposed_weight_or_a_convolution_is_found() -> None:
    assert find_pattern(tensor("w", np.ascontiguousarray(_masked(W, 2, 4).T))) == Pattern(2, 4, 0)
    images = np.moveaxis(_masked(W, 2, 4).reshape(8, 8, 128), -1, 1)  # 8 filters, 128 channels, 8 pixels
    assert find_pattern(tensor("w", np.ascontiguousarray(images))) == Pattern(2, 4, 1)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.8, 0.9])
def test_random_zeros_are_no_pattern_and_as_many_groups_fit_as_chance_says(sparsity: Any, share: float) -> None:
    big = np.where(np.random.default_rng(1).random((256, 512)) < share, np.float32(0), np.float32(1.5))
    row = _rows(sparsity({"w": big}, {"w": big})[0])["w"]
    assert row["pattern"] is None
    assert row["share_2_4"] == pytest.approx(row["share_2_4_null"], abs=0.01)
    assert row["exactly_two_share"] == pytest.approx(row["exactly_two_null"], abs=0.01)
    assert row["zeros_per_4"] == np.bincount((big.reshape(-1, 4) == 0).sum(axis=1), minlength=5).tolist()


def test_true_2_4_has_exactly_two_zeros_in_each_group(sparsity: Any) -> None:
    row = _rows(sparsity({"w": W}, {"w": _masked(W, 2, 4)})[0])["w"]
    assert (row["share_2_4"], row["exactly_two_share"]) == (1.0, 1.0)


def test_the_nulls_are_binomial_probabilities() -> None:
    for share in (0.0, 0.3, 0.5, 0.9, 1.0):
        terms = [math.comb(4, k) * share**k * (1 - share) ** (4 - k) for k in range(5)]
        assert share_2_4(share) == pytest.approx(sum(terms[2:]))
        assert exactly_two(share) == pytest.approx(terms[2])
    assert jaccard_null(0.0, 0.0) is None
    assert jaccard_null(0.5, 0.5) == pytest.approx(1 / 3)


def test_near_zero_is_not_zero(sparsity: Any) -> None:
    soft = np.where(RNG.random(W.shape) < 0.4, np.float32(1e-6), W)
    summary, _ = sparsity({"w": W}, {"w": soft})
    row = _rows(summary)["w"]
    assert (row["n_zero"], row["class"]) == (0, "dense")
    assert row["near_zero_share"] == pytest.approx(np.mean(np.abs(soft) < 1e-3 * np.sqrt(np.mean(soft**2))), abs=1e-9)
    normal = RNG.standard_normal((512, 512)).astype(np.float32)
    summary, _ = sparsity({"w": normal}, {"w": normal})
    assert summary.values["near_zero_share"] == pytest.approx(summary.null["near_zero_share"], abs=8e-4)


def test_signs_of_zero_are_counted(sparsity: Any) -> None:
    new = np.where(W > 1, np.float32(0), np.where(W < -1, np.float32(-0.0), W))
    row = _rows(sparsity({"w": W}, {"w": new})[0])["w"]
    assert (row["n_zero"], row["n_neg_zero"]) == (np.count_nonzero(np.abs(W) > 1), np.count_nonzero(W < -1))


def test_what_began_with_zeros_is_not_pruned(sparsity: Any) -> None:
    zeros = np.zeros_like(W)
    summary, flagged = sparsity({"lora_B.weight": zeros, "w": W}, {"lora_B.weight": zeros, "w": W})
    assert (summary.values["classes"], flagged) == ({"dense": 1, "never_pruned": 1}, {})
    assert "no weight of NEW is sparse" in summary.message


def test_a_weight_that_became_all_zero_is_flagged(sparsity: Any) -> None:
    summary, flagged = sparsity({"w": W}, {"w": np.zeros_like(W)})
    assert (flagged["w"].level, summary.values["classes"]) == ("warning", {"all_zero": 1})
    assert "became zero" in flagged["w"].message


def test_a_2_4_mask_that_training_broke_is_flagged(sparsity: Any) -> None:
    masked = _masked(W, 2, 4)
    tuned = masked.copy()
    tuned[3, :2] = tuned[3, 2:4] = 0.5
    summary, flagged = sparsity({"w": masked, "v": _masked(V, 2, 4)}, {"w": tuned, "v": _masked(V, 2, 4) * 2})
    assert list(flagged) == ["w"]
    assert flagged["w"].values["regrown"] == 2
    assert summary.values["classes_old"] == {"2:4": 2}


def test_a_2_4_mask_along_the_outputs_is_not_what_hardware_knows(sparsity: Any) -> None:
    along_outputs = np.ascontiguousarray(_masked(W.T, 2, 4).T)
    old, new = {"a.weight": W, "b.kernel": W}, {"a.weight": along_outputs, "b.kernel": along_outputs}
    summary, _ = sparsity(old, new)
    assert summary.values["classes"] == {"2:4": 1, "2:4 along axis 0": 1}
    assert _rows(summary)["a.weight"]["class"] == "2:4 along axis 0"


def test_added_and_removed_weights_count_on_their_side(sparsity: Any) -> None:
    summary, _ = sparsity({"w": W}, {"w": W, "extra": _masked(V, 1, 4)})
    assert summary.values["n_zero"] == V.size * 3 // 4
    assert summary.values["zero_share_old"] == 0.0


def test_optimizer_state_and_integers_are_left_out(sparsity: Any) -> None:
    state = {"w": W, "state.0.exp_avg": np.zeros_like(W), "ids": np.zeros(8, np.int64)}
    side = artifact(state, roles={"state.0.exp_avg": "optimizer"})
    summary, _ = sparsity(side, side)
    assert list(_rows(summary)) == ["w"]
    assert summary.coverage == W.size / (W.size + 8)
    assert sparsity({"ids": np.zeros(4, np.int64)}, {"ids": np.zeros(4, np.int64)})[0].status == "not_measurable"


def test_zeros_do_not_depend_on_names_or_on_the_order_of_rows(sparsity: Any) -> None:
    new = _pruned(0.3)
    turned = sparsity({"bert_2to4_pruned": W[::-1].copy()}, {"bert_2to4_pruned": new[::-1].copy()})[0]
    plain = sparsity({"w": W}, {"w": new})[0]
    rows = [dict(summary.values["tensors"][0], tensor="") for summary in (turned, plain)]
    assert {k: v for k, v in rows[0].items() if k != "near_zero_share"} == {
        k: v for k, v in rows[1].items() if k != "near_zero_share"
    }
