"""Effective rank, dead rows, copies and entropy: planted, and against NumPy."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from diffai_compare_architecture import reading, spectrum
from diffai_compare_architecture.plugin import diffai_comparators

from diffai_core.plugin import DataFile, FileTensor, dtype
from diffai_core.testing import artifact
from diffai_core.testing.running import run_comparator

SPEC = next(spec for spec in diffai_comparators() if spec.name == "param-efficiency-analysis")
RNG = np.random.default_rng(4)


def answer(old, new, tree=None):
    sides = [side if hasattr(side, "tensors") else artifact(side, tree) for side in (old, new)]
    (found,) = run_comparator(SPEC, *sides, {})
    return found


def matrix(rows=48, columns=80, rank=None):
    if rank is None:
        return RNG.normal(size=(rows, columns))
    return RNG.normal(size=(rows, rank)) @ RNG.normal(size=(rank, columns))


def effective_rank(values):
    singular = np.linalg.svd(values, compute_uv=False)
    shares = singular / singular.sum()
    shares = shares[shares > 0]
    return np.exp(-(shares * np.log(shares)).sum())


@pytest.mark.parametrize("shape", [(30, 30), (20, 90), (90, 20), (1, 7)])
def test_the_effective_rank_is_that_of_the_singular_values(shape):
    values = RNG.normal(size=shape)
    assert spectrum.effective_rank(values) == pytest.approx(effective_rank(values), rel=1e-6)


def test_equal_singular_values_have_full_and_a_single_one_has_rank_one():
    assert spectrum.effective_rank(np.eye(7)) == pytest.approx(7)
    assert spectrum.effective_rank(np.outer(np.arange(1, 5), np.arange(1, 9)) * 1.0) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("rows", "columns"), [(300, 300), (200, 400), (100, 1000)])
def test_random_matrices_have_the_share_of_marchenko_and_pastur(rows, columns):
    share = effective_rank(RNG.normal(size=(rows, columns))) / rows
    assert spectrum.random_share(rows / columns) == pytest.approx(share, rel=0.01)


def test_the_share_is_the_sum_of_ranks_over_the_sum_of_shorter_sides():
    old = {"a.weight": matrix(), "b.weight": matrix(30, 40)}
    new = {"a.weight": matrix(rank=4), "b.weight": matrix(30, 40)}
    values = answer(old, new).values
    expected = [sum(effective_rank(one) for one in side.values()) / (48 + 30) for side in (old, new)]
    assert values["erank_share"] == pytest.approx(expected, rel=1e-5)
    assert values["efficiency_ratio"] == pytest.approx(expected[1] / expected[0], rel=1e-5)
    assert values["erank_share_random"][0] == pytest.approx(values["erank_share"][0], rel=0.05)


def test_kernels_of_keras_and_convolutions_are_seen_as_matrices():
    kernel, conv = matrix(24, 36), RNG.normal(size=(16, 4, 3, 3))
    values = answer({"dense/kernel": kernel}, {"conv1.weight": conv}).values
    assert values["erank_share"] == pytest.approx(
        [effective_rank(kernel) / 24, effective_rank(conv.reshape(16, -1)) / 16]
    )


def test_zeros_and_dead_rows_are_counted():
    pruned = matrix()
    pruned[:5] = 0
    pruned[10, :7] = 0
    values = answer({"a.weight": matrix()}, {"a.weight": pruned}).values
    assert values["sparse"] == [0, 5 * 80 + 7]
    assert values["dense"] == [48 * 80, 48 * 80 - 5 * 80 - 7]
    assert values["dead_rows"] == [0, 5]


def test_copies_are_found_by_their_content_and_constants_are_none():
    one, other = matrix(), matrix()
    sides = {
        "a.weight": one,
        "b.weight": one.copy(),
        "c.weight": other,
        "n1.weight": np.ones(64),
        "n2.weight": np.ones(64),
    }
    permuted = {**sides, "b.weight": one[::-1].copy()}
    values = answer(sides, permuted).values
    assert values["duplicates1"] == [["a.weight", "b.weight"]]
    assert values["duplicate_params"] == [one.size, 0]
    assert values["duplicates2"] == []


def test_tied_tensors_are_no_copies_and_count_once():
    side = artifact({"a.weight": matrix(), "b.weight": matrix()})
    tied = dict(side.tensors)
    tied["b.weight"] = replace(tied["a.weight"], name="b.weight", shared_storage="one")
    tied["a.weight"] = replace(tied["a.weight"], shared_storage="one")
    values = answer(side, replace(side, tensors=tied)).values
    assert (values["params"], values["duplicate_params"]) == ([2 * 48 * 80, 48 * 80], [0, 0])


def test_the_entropy_of_the_bytes_is_that_of_numpy_and_falls_with_the_precision():
    wide = matrix().astype(np.float32)
    rounded = wide.astype(ml_dtypes.bfloat16).astype(np.float32)
    values = answer({"a.weight": wide}, {"a.weight": rounded}).values
    for found, array in zip(values["bits_per_param"], (wide, rounded), strict=True):
        planes = array.reshape(-1).view(np.uint8).reshape(-1, 4)
        counts = [np.unique_counts(planes[:, plane]).counts / len(planes) for plane in range(4)]
        assert found == pytest.approx(sum(-(one * np.log2(one)).sum() for one in counts))
    assert values["bits_per_param"][1] < values["bits_per_param"][0] - 10


def test_a_large_matrix_is_sampled_and_the_status_says_so():
    old, new = matrix(1000, 900), matrix(1000, 900, rank=20)
    found = answer({"a.weight": old.astype(np.float32)}, {"a.weight": new.astype(np.float32)})
    assert (found.status, found.values["sampled_matrices"]) == ("estimated", [1, 1])
    rows = spectrum.spaced(1000, spectrum.SAMPLE_ROWS)
    columns = spectrum.spaced(900, spectrum.SAMPLE_COLUMNS)
    assert found.values["tensors1"][0]["effective_rank"] == pytest.approx(
        effective_rank(old[rows][:, columns]), rel=1e-4
    )
    assert found.values["tensors2"][0]["effective_rank"] < 20


def test_of_experts_in_one_tensor_the_middle_one_is_looked_at():
    experts = RNG.normal(size=(4, 12, 20))
    found = answer({"layers.0.mlp.experts.up_proj": experts}, {"layers.0.mlp.experts.up_proj": experts})
    assert found.values["tensors1"][0]["effective_rank"] == pytest.approx(effective_rank(experts[2]))


def test_the_budget_of_a_side_is_spent_on_the_cheapest_matrices(monkeypatch):
    monkeypatch.setattr(spectrum, "WHOLE_COST", 20_000)
    refs = list(artifact({f"{n}.weight": matrix(10 * n, 10 * n) for n in (3, 1, 2)}).tensors.values())
    assert [(job.ref.name, job.whole) for job in spectrum.jobs_of(refs)] == [
        ("3.weight", False),
        ("1.weight", True),
        ("2.weight", True),
    ]


def test_the_trainable_share_is_that_of_the_optimizer_state():
    tensors = {"fc1.weight": matrix(10, 10), "fc2.weight": matrix(10, 30)}
    state = {f"optimizer.state.0.{slot}": RNG.normal(size=(10, 30)) for slot in ("exp_avg", "exp_avg_sq")}
    group = {"params": [0], "lr": 0.1, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
    side = artifact({**tensors, **state}, {"optimizer": {"param_groups": [group]}})
    optimizer = {name: replace(ref, role="optimizer") if "state" in name else ref for name, ref in side.tensors.items()}
    values = answer(replace(side, tensors=optimizer), tensors).values
    assert values["trainable_share"] == [0.75, None]
    assert "optimizer" in values["not_measurable"]["trainable_share2"]


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_effective_rank_does_not_hang_on_the_scale_or_the_order(factor):
    values = matrix()
    shuffled = factor * values[RNG.permutation(48)]
    found = answer({"a.weight": values}, {"a.weight": shuffled}).values
    assert found["efficiency_ratio"] == pytest.approx(1, rel=1e-6)


def test_matrices_that_are_not_finite_are_left_out_of_the_coverage():
    broken = matrix()
    broken[3, 3] = np.nan
    found = answer({"a.weight": matrix()}, {"a.weight": broken})
    assert found.coverage == 0.5
    assert found.values["efficiency_ratio"] is None


def test_without_weights_it_is_not_measurable():
    found = answer({}, {"a.weight": matrix()})
    assert found.status == "not_measurable"
    assert "OLD" in found.message


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float8_e4m3fn"])
def test_blocks_of_a_file_are_those_that_were_written(tmp_path, kind):
    values = RNG.normal(size=(20, 11)).astype(getattr(ml_dtypes, kind, kind))
    path = tmp_path / "a.bin"
    path.write_bytes(b"head" + values.tobytes())
    with DataFile(path) as file:
        ref = FileTensor(name="a", shape=(20, 11), dtype=dtype(kind), file=file, offset=4)
        assert np.array_equal(np.concatenate(list(reading.blocks_of(ref))), values.reshape(-1))


def test_identical_matrices_are_looked_at_once(monkeypatch):
    from diffai_compare_architecture import efficiency

    looks = []
    monkeypatch.setattr(efficiency, "look", lambda job: looks.append(job.ref.name) or spectrum.look(job))
    same, other = matrix(1000, 900), matrix()
    values = answer({"a.weight": same, "b.weight": other}, {"a.weight": same.copy(), "b.weight": matrix()}).values
    assert looks == ["a.weight", "b.weight", "b.weight"]
    assert values["tensors1"][0]["effective_rank"] == values["tensors2"][0]["effective_rank"]


def test_zeros_of_complex_weights_are_not_counted():
    values = answer({"a.weight": np.zeros((3, 4), np.complex64)}, {"a.weight": np.ones((3, 4), np.complex64)}).values
    assert (values["sparse"], values["efficiency_ratio"]) == ([None, None], None)


def test_file_names_tell_nothing():
    side, other = artifact({"a.weight": matrix()}), artifact({"a.weight": matrix(rank=3)})
    assert answer(replace(side, name="pruned_90_percent.pt"), other).values == answer(side, other).values
