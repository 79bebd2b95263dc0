"""Changes at the edge of a class get the name that is true."""

from __future__ import annotations

import numpy as np
import pytest
from planted_models import BF16, matrices, named, trained, transformer

BASE = transformer()


def _lora(tensors, rank, dtype):
    rng = np.random.default_rng(3)

    def merged(value):
        delta = rng.standard_normal((len(value), rank)) @ rng.standard_normal((rank, value.shape[1]))
        wide = value.astype(np.float32)
        return (wide + 0.05 * delta * np.linalg.norm(wide) / np.linalg.norm(delta)).astype(dtype)

    return {key: merged(value) if "q_proj.weight" in key else value for key, value in tensors.items()}


@pytest.mark.parametrize("dtype", [np.float32, BF16])
@pytest.mark.parametrize("rank", [48, 64])
def test_a_rank_beyond_half_of_the_first_window_is_found_in_a_wider_one(dtype, rank):
    old = transformer(width=256, blocks=3, dtype=dtype)
    finding = named(old, _lora(old, rank, dtype))
    assert (finding.values["change"], finding.values["rank"]) == ("low_rank", rank)


@pytest.mark.parametrize(("axis", "name"), [(0, "rows"), (1, "columns")])
@pytest.mark.parametrize("step", [3, 23])
def test_rows_and_columns_set_to_zero_are_pruned_and_not_rescaled(axis, name, step):
    def without(value):
        gone = np.arange(value.shape[axis]) % step == 1
        return np.where(np.expand_dims(gone, 1 - axis), 0, value).astype(value.dtype)

    finding = named(BASE, matrices(BASE, without))
    assert (finding.values["change"], finding.values["variants"]) == ("pruned", [name])


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_few_remaining_weights_at_random_places_are_not_told_as_two_of_four(share):
    new = matrices(BASE, lambda v: np.where(np.abs(v) < np.quantile(np.abs(v), share), 0, v).astype(np.float32))
    assert named(BASE, new).values["variants"] == ["unstructured"]


def test_a_model_set_to_zero_is_pruned_as_a_whole():
    finding = named(BASE, {key: np.zeros_like(value) for key, value in BASE.items()})
    assert (finding.values["change"], finding.values["variants"]) == ("pruned", ["everything"])


def test_constants_are_neither_a_grid_nor_a_low_rank():
    finding = named(BASE, {key: np.ones_like(value) for key, value in BASE.items()})
    assert finding.values["change"] not in {"on_grid", "low_rank", "rank_one_edit"}
    assert finding.status == "hint"


@pytest.mark.parametrize("dtype", [np.float32, BF16])
def test_one_step_for_a_whole_tensor_is_a_grid(dtype):
    def rounded(value):
        step = float(np.max(np.abs(value.astype(np.float32)))) / 127
        return (np.rint(value.astype(np.float32) / step) * step).astype(dtype)

    old = transformer(dtype=dtype)
    finding = named(old, matrices(old, rounded))
    assert (finding.values["change"], finding.values["variants"]) == ("on_grid", ["8 bits, whole tensor"])


def test_a_sparse_fine_tune_is_on_no_grid():
    rng = np.random.default_rng(4)
    new = matrices(trained(BASE), lambda v: np.where(rng.random(v.shape) < 0.95, 0, v).astype(np.float32))
    assert named(BASE, new).values["change"] != "on_grid"


def test_vectors_alone_are_rescaled_as_a_whole():
    rng = np.random.default_rng(6)
    old = {f"norm{i}.weight": rng.standard_normal(64).astype(np.float32) for i in range(4)}
    finding = named(old, {key: 3 * value for key, value in old.items()})
    assert (finding.values["change"], finding.values["variants"]) == ("rescaled", ["whole tensor"])


def test_other_vectors_alone_leave_open_whether_they_are_related():
    rng = np.random.default_rng(6)
    old, new = ({f"bias{i}": rng.standard_normal(64).astype(np.float32) for i in range(4)} for _ in range(2))
    finding = named(old, new)
    assert finding.status == "hint"
    assert any("related" in line for line in finding.detail)
    assert named(old, trained(old, rel=0.01)).status == "estimated"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_finite_no_more_are_named_so_and_counted(value):
    broken = BASE["lm_head.weight"].copy()
    broken[3] = value
    finding = named(BASE, {**BASE, "lm_head.weight": broken})
    assert (finding.values["change"], finding.values["n_lost"]) == ("non_finite", broken.shape[1])
    both = trained(BASE)
    both["lm_head.weight"][3] = value
    finding = named(BASE, both)
    assert finding.values["change"] == "full_fine_tune"
    assert finding.values["non_finite_tensors"] == ["lm_head.weight"]


def test_matrices_stored_the_other_way_round_and_trained_are_transposed():
    new = {key: np.ascontiguousarray(v.T) if v.ndim > 1 else v for key, v in trained(BASE).items()}
    finding = named(BASE, new)
    assert finding.values["change"] == "transposed"
    assert "related values" in finding.message


def test_symmetric_matrices_far_from_before_are_not_told_as_turned():
    rng = np.random.default_rng(7)
    plain = {f"layer{i}.weight": rng.standard_normal((96, 96)) for i in range(4)}
    old = {key: (value + value.T).astype(np.float32) for key, value in plain.items()}
    for rel in (1.5, 1.7, 1.9):
        assert named(old, trained(old, rel=rel)).values["change"] != "transposed"
