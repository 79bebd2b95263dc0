"""Anomalies that were planted are found where they were planted, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffai_compare_anomalies.lines import gaussian_peak_ratio, repeated_tail
from diffai_compare_anomalies.plugin import diffai_comparators
from diffai_compare_anomalies.sides import SideLines
from safetensors.numpy import save_file

from diffai_core import compare
from diffai_core.testing import artifact
from diffai_core.testing.running import run_comparator

if TYPE_CHECKING:
    from pathlib import Path

    from diffai_core.plugin import Artifact, Finding

(SPEC,) = diffai_comparators()


def model(seed: int, n_blocks: int = 24, slope: float = 0.0) -> dict[str, np.ndarray]:
    """Blocks of a matrix each; the sizes of the blocks scatter by 5 % around a slope over depth."""
    rng = np.random.default_rng(seed)
    sizes = np.exp(slope * np.arange(n_blocks) + 0.05 * rng.standard_normal(n_blocks))
    return {
        f"layers.{block}.mlp.fc1.weight": (size * rng.standard_t(8, (32, 48)) * 0.03).astype(np.float32)
        for block, size in enumerate(sizes)
    }


def moved(side: dict[str, np.ndarray], seed: int = 99) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: (w + 0.001 * rng.standard_normal(w.shape)).astype(w.dtype) for name, w in side.items()}


def found(old: Artifact, new: Artifact) -> tuple[Finding, dict[tuple[str, str], Finding]]:
    summary, *rest = run_comparator(SPEC, old, new, {})
    assert summary.kind == "anomaly_detection"
    return summary, {(finding.where, finding.values["metric"]): finding for finding in rest}


def between(old: dict[str, Any], new: dict[str, Any]) -> dict[tuple[str, str], Finding]:
    return found(artifact(old), artifact(new))[1]


BLOCK = "layers.11.mlp.fc1.weight"


def test_a_sound_model_after_a_step_gives_no_warning() -> None:
    base = model(1)
    summary, rest = found(artifact(base), artifact(moved(base)))
    assert [finding for finding in rest.values() if finding.level == "warning"] == []
    assert summary.values["n_new_or_worse"] == 0
    assert summary.values["n_tensors"] == 24
    assert summary.coverage == 1.0


def test_an_outlier_on_a_depth_slope_is_found_and_false_alarms_are_as_rare_as_stated() -> None:
    n_found, n_false, n_families, n_models = 0, 0, 0, 30
    for seed in range(n_models):
        side = model(seed, slope=0.15)
        side[BLOCK] = (side[BLOCK] * np.exp(6 * 0.05 * 1.2)).astype(np.float32)
        summary, rest = found(artifact(side), artifact(side))
        n_found += (BLOCK, "outlying_log_rms") in rest
        n_false += sum(key[0] != BLOCK and key[1].startswith("outlying") for key in rest)
        n_families += summary.values["n_families"]
    assert n_found >= 0.9 * n_models
    assert n_false / n_families < 0.12  # 5 % of families were accepted


def test_the_same_outlier_drowns_in_the_slope_without_detrending() -> None:
    side = model(3, slope=0.15)
    side[BLOCK] = (side[BLOCK] * np.exp(0.36)).astype(np.float32)
    logs = np.log([np.sqrt((w.astype(float) ** 2).mean()) for w in side.values()])
    z = 0.6745 * (logs - np.median(logs)) / np.median(np.abs(logs - np.median(logs)))
    assert abs(z[11]) < 3.5
    assert (BLOCK, "outlying_log_rms") in between(side, side)


def test_values_that_are_not_finite_are_counted_and_new_ones_warn() -> None:
    old, new = model(5), model(5)
    old["layers.2.mlp.fc1.weight"][1, 1] = np.nan
    new["layers.2.mlp.fc1.weight"][1, 1] = np.nan
    new["layers.2.mlp.fc1.weight"][1, 2] = np.inf
    new["layers.3.mlp.fc1.weight"][0, :3] = [np.nan, np.inf, -np.inf]
    rest = between(old, new)
    worse, fresh = rest["layers.2.mlp.fc1.weight", "non_finite"], rest["layers.3.mlp.fc1.weight", "non_finite"]
    assert worse.level == "warning"
    assert [worse.values[name] for name in ("old", "new", "worse")] == [1, 2, True]
    assert fresh.level == "warning"
    assert [fresh.values[name] for name in ("old", "new", "new_only")] == [None, 3, True]
    assert [fresh.values[name] for name in ("n_nan", "n_pos_inf", "n_neg_inf")] == [1, 1, 1]
    repaired = between(new, old)["layers.3.mlp.fc1.weight", "non_finite"]
    assert (repaired.level, repaired.values["in_new"]) == ("info", False)


def test_what_was_there_before_is_told_and_does_not_warn() -> None:
    side = model(6)
    side["layers.4.mlp.fc1.weight"][7] = 0
    assert between(side, side)["layers.4.mlp.fc1.weight", "zero_rows"].level == "info"


@pytest.mark.parametrize(("dtype", "bit"), [(np.float32, 30), (np.float32, 12), (np.float16, 14), (np.float64, 61)])
def test_flipped_bits_are_found_at_their_exact_offsets(tmp_path: Path, dtype: type, bit: int) -> None:
    rng = np.random.default_rng(8)
    old = {name: rng.standard_normal((256, 300)).astype(dtype) for name in ("a.weight", "b.weight")}
    new = {name: array.copy() for name, array in old.items()}
    bits = new["b.weight"].view(f"u{new['b.weight'].itemsize}")
    places = [(3, 4), (200, 299), (255, 0)]
    for place in places:
        bits[place] ^= bits.dtype.type(1 << bit)
    paths = [tmp_path / "epoch_50_lr_0.01.safetensors", tmp_path / "bert_attention.safetensors"]
    for path, side in zip(paths, (old, new), strict=True):
        save_file(side, path)
    report = compare(*paths, analyses=["anomaly-detection"])
    (flips,) = [item for item in report.findings if item.values.get("metric") == "bit_flips"]
    assert (flips.where, flips.level, flips.values["n_changed"]) == ("b.weight", "warning", 3)
    assert [tuple(item["index"]) for item in flips.values["flips"]] == places
    assert all(item["bits"] == [bit] for item in flips.values["flips"])
    raw = [path.read_bytes() for path in paths]
    differing = [at for at in range(len(raw[1])) if raw[0][at] != raw[1][at]]
    assert [item["byte_offset"] for item in flips.values["flips"]] == differing


def test_few_changes_of_many_bits_or_of_the_last_place_are_no_flips() -> None:
    old = model(9, n_blocks=3)
    edited, rounded = ({name: w.copy() for name, w in old.items()} for _ in range(2))
    edited["layers.0.mlp.fc1.weight"][2, 3] *= np.float32(1.2345678)
    last = rounded["layers.0.mlp.fc1.weight"].view(np.uint32)
    last[2, 3] ^= 1
    for new in (edited, rounded):
        assert ("layers.0.mlp.fc1.weight", "bit_flips") not in between(old, new)


def test_a_tail_of_zeros_and_one_that_repeats_itself_are_found() -> None:
    old = model(10)
    new = moved(old)
    new["layers.1.mlp.fc1.weight"][-5:] = 0
    new["layers.2.mlp.fc1.weight"][-6:] = new["layers.2.mlp.fc1.weight"][-12:-6]
    rest = between(old, new)
    zero, repeated = rest["layers.1.mlp.fc1.weight", "zero_tail"], rest["layers.2.mlp.fc1.weight", "repeated_tail"]
    assert (zero.values["new"], zero.values["first_row"], zero.level) == (5, 27, "warning")
    assert (repeated.values["new"], repeated.values["period"], repeated.level) == (6, 6, "warning")


def test_rows_of_equal_sums_that_differ_are_no_repetition() -> None:
    old = model(11)
    new = moved(old)
    rows = new["layers.2.mlp.fc1.weight"]
    rows[-6:] = rows[-12:-6]
    rows[-1, 1:] = rows[-1, :0:-1]  # the same numbers in another order
    sums = (rows.astype(float) ** 2).sum(1)
    sums[-1] = sums[-7]
    lines = SideLines(48, sums, np.abs(rows).max(1).astype(float), np.zeros(32, bool))
    assert repeated_tail(lines) == (6, 6)
    assert ("layers.2.mlp.fc1.weight", "repeated_tail") not in between(old, new)


def test_dead_rows_and_columns_are_listed() -> None:
    old = model(12)
    new = moved(old)
    new["layers.7.mlp.fc1.weight"][[3, 9]] = 0
    new["layers.8.mlp.fc1.weight"][:, 17] = 0
    rest = between(old, new)
    assert rest["layers.7.mlp.fc1.weight", "zero_rows"].values["rows"] == [3, 9]
    assert rest["layers.8.mlp.fc1.weight", "zero_columns"].values["columns"] == [17]


def test_rows_that_faded_are_a_hint() -> None:
    old = model(13)
    new = moved(old)
    new["layers.7.mlp.fc1.weight"][[3, 9]] *= np.float32(0.05)
    weak = between(old, new)["layers.7.mlp.fc1.weight", "weak_rows"]
    assert (weak.status, weak.values["new"], weak.values["rows"]) == ("hint", 2, [3, 9])


def test_an_outlier_channel_is_found_and_normal_weights_have_none() -> None:
    old = model(14)
    new = moved(old)
    new["layers.7.mlp.fc1.weight"][:, 5] *= 30
    rest = between(old, new)
    channel = rest["layers.7.mlp.fc1.weight", "outlier_channels"]
    assert channel.values["channels"] == [5]
    assert channel.values["new"] > channel.threshold > channel.null
    assert [key for key in rest if key[1] == "outlier_channels"] == [("layers.7.mlp.fc1.weight", "outlier_channels")]


@pytest.mark.parametrize("shape", [(4096, 128), (64, 512)])
def test_the_null_of_outlier_channels_is_that_of_normal_weights(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(15)
    ratios = []
    for _ in range(20):
        peaks = np.abs(rng.standard_normal(shape)).max(0)
        ratios.append(peaks.max() / np.median(peaks))
    assert np.median(ratios) == pytest.approx(gaussian_peak_ratio(*shape), rel=0.04)


def test_layers_as_torch_draws_them_are_untrained_until_a_step_is_taken() -> None:
    torch.manual_seed(0)
    layers: dict[str, Any] = {
        "linear": torch.nn.Linear(80, 64),
        "conv": torch.nn.Conv2d(16, 32, 3),
        "embed": torch.nn.Embedding(400, 64),
    }
    small = torch.nn.Linear(200, 128)
    torch.nn.init.normal_(small.weight, std=0.02)
    xavier = torch.nn.Linear(100, 60)
    torch.nn.init.xavier_uniform_(xavier.weight)
    layers |= {"small": small, "xavier": xavier}
    fresh = {f"{name}.weight": layer.weight.detach().numpy() for name, layer in layers.items()}
    rng = np.random.default_rng(1)
    trained = {name: (w + 0.3 * w.std() * rng.standard_normal(w.shape)).astype("f4") for name, w in fresh.items()}
    drawn = {key[0] for key in between(fresh, fresh) if key[1] == "untrained"}
    assert drawn == set(fresh)
    assert [key for key in between(trained, trained) if key[1] == "untrained"] == []
    lost = between(trained, {**trained, "linear.weight": fresh["linear.weight"]})["linear.weight", "untrained"]
    assert (lost.level, lost.status, lost.values["scale"]) == ("warning", "hint", pytest.approx(80**-0.5))


def test_constants_are_told_apart_from_defaults() -> None:
    old = {"norm.weight": np.ones(8, "f4"), "norm.bias": np.zeros(8, "f4"), "fc.weight": np.full((4, 4), 3.0, "f4")}
    rest = between(old, old)
    assert [rest[name, "constant"].values["is_default"] for name in old] == [True, True, False]


def test_a_copy_of_another_tensor_is_found_and_a_near_copy_is_not() -> None:
    side = model(16)
    side["layers.9.mlp.fc1.weight"] = side["layers.3.mlp.fc1.weight"].copy()
    almost = side["layers.4.mlp.fc1.weight"][::-1].copy()  # the same statistics, other places
    side["layers.10.mlp.fc1.weight"] = almost
    copies = {key[0]: item for key, item in between(side, side).items() if key[1] == "duplicate"}
    assert set(copies) == {"layers.9.mlp.fc1.weight"}
    assert copies["layers.9.mlp.fc1.weight"].values["same_as"] == "layers.3.mlp.fc1.weight"


def test_a_tensor_that_stands_still_while_the_others_move_is_named() -> None:
    old = model(17)
    new = {**moved(old), BLOCK: old[BLOCK]}
    frozen = [key[0] for key in between(old, new) if key[1] == "frozen"]
    assert frozen == [BLOCK]
    mostly_frozen = {**old, BLOCK: moved(old)[BLOCK]}
    assert [key for key in between(old, mostly_frozen) if key[1] == "frozen"] == []


def test_a_tensor_that_exploded_between_the_sides_is_found_without_peers() -> None:
    rng = np.random.default_rng(18)
    old = {"a.weight": rng.standard_normal((9, 9)).astype("f4"), "b.bias": rng.standard_normal(9).astype("f4")}
    new = {**old, "a.weight": (old["a.weight"] * 100).astype("f4")}
    jump = between(old, new)["a.weight", "rms_jump"]
    assert jump.values["value"] == pytest.approx(100, rel=1e-5)
    assert between(new, old)["a.weight", "rms_jump"].values["value"] == pytest.approx(0.01, rel=1e-5)


@pytest.mark.parametrize("factor", [85, 1 / 85])
def test_a_model_that_exploded_as_a_whole_is_said_to_have_done_so_and_no_tensor_that_grew_less_is_blamed(
    factor: float,
) -> None:
    old = model(30)
    less = [name for name in old if "norm" in name]
    new = {name: (w * (1 if name in less else factor)).astype("f4") for name, w in old.items()}
    found = between(old, new)
    jump = found["", "model_rms_jump"]
    assert jump.values["value"] == pytest.approx(factor, rel=1e-5)
    assert jump.values["n_jumped"] == len(old) - len(less)
    assert jump.level == "warning"
    assert not [key for key in found if key[1] == "rms_jump"]
    assert ("", "model_rms_jump") not in between(old, moved(old))


def test_a_float16_tensor_near_its_limit_and_subnormal_weights_are_found() -> None:
    rng = np.random.default_rng(19)
    old = {name: rng.standard_normal((32, 32)).astype(np.float16) for name in ("a.weight", "b.weight")}
    new = {name: array.copy() for name, array in old.items()}
    new["a.weight"][0, 0] = 60000
    new["b.weight"][:16] = 1e-6
    rest = between(old, new)
    assert rest["a.weight", "near_dtype_max"].values["new"] == pytest.approx(60000 / 65504, rel=1e-3)
    assert rest["b.weight", "subnormal_share"].values["new"] == pytest.approx(0.5, abs=0.01)


def test_rows_that_no_gradient_reached_are_read_off_the_state_of_adam(tmp_path: Path) -> None:
    torch.manual_seed(3)
    embedding = torch.nn.Embedding(12, 4)
    head = torch.nn.Linear(4, 2)
    optimizer = torch.optim.Adam([*embedding.parameters(), *head.parameters()], lr=0.01)
    for name in ("first.pt", "second.pt"):
        seen = torch.tensor([0, 1, 2, 3, 5, 7, 8, 11])
        head(embedding(seen)).square().sum().backward()
        optimizer.step()
        model_state = {
            "embed.weight": embedding.weight.detach().clone(),
            **{f"head.{key}": value.clone() for key, value in head.state_dict().items()},
        }
        torch.save({"model": model_state, "optimizer": optimizer.state_dict()}, tmp_path / name)
    report = compare(tmp_path / "first.pt", tmp_path / "second.pt", analyses=["anomaly-detection"])
    (rows,) = [item for item in report.findings if item.values.get("metric") == "no_gradient_rows"]
    assert (rows.where, rows.values["rows"]) == ("model.embed.weight", [4, 6, 9, 10])


def test_without_tensors_it_is_not_measurable() -> None:
    summary, rest = found(artifact(tree={"lr": 0.1}), artifact(tree={"lr": 0.2}))
    assert (summary.status, rest) == ("not_measurable", {})
    assert "checkpoints" in summary.message


def test_a_thousand_tensors_and_a_quarter_million_rows_take_seconds() -> None:
    rng = np.random.default_rng(20)
    side = {f"layers.{i}.w{j}.weight": rng.standard_normal((4, 4)).astype("f4") for i in range(100) for j in range(10)}
    side["embed.weight"] = rng.standard_normal((250_000, 4)).astype("f4")
    summary, _ = found(artifact(side), artifact(side))
    assert summary.values["n_tensors"] == 1001


def test_rows_that_keep_little_by_chance_after_pruning_are_not_called_weak() -> None:
    rng = np.random.default_rng(40)
    old = {f"layers.{i}.mlp.fc1.weight": rng.standard_normal((128, 64)).astype("f4") for i in range(8)}
    pruned = {name: (w * (rng.random(w.shape) > 0.9)).astype("f4") for name, w in old.items()}
    assert [key for key in between(old, pruned) if key[1] == "weak_rows"] == []
    shrunk = {name: w.copy() for name, w in old.items()}
    shrunk["layers.3.mlp.fc1.weight"][5] *= 0.2
    assert [key[0] for key in between(old, shrunk) if key[1] == "weak_rows"] == ["layers.3.mlp.fc1.weight"]
