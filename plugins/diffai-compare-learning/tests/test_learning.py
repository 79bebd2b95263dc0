"""Progress and convergence, against NumPy, torch's own optimizers and series of planted kinds."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from diffai_compare_learning.convergence import null_table
from planted_series import (
    N,
    answer,
    around,
    checkpoint,
    exponential,
    flat_losses,
    start,
    swinging,
    trained,
    walk,
    write,
)
from safetensors.numpy import save_file

from diffai_core import compare

if TYPE_CHECKING:
    from pathlib import Path


def test_a_random_walk_diffuses_and_is_as_straight_as_the_null_table_says(tmp_path: Path) -> None:
    found = answer("convergence_analysis", write(tmp_path, walk(1)))
    assert found.values["state"] == "diffusing"
    assert found.values["cos_successive"] == pytest.approx(0, abs=0.03)
    assert found.values["straightness"] == pytest.approx(found.null["random_walk"]["straightness"], abs=0.02)
    assert found.null["random_walk"]["straightness"] == pytest.approx(1 / 3)


def test_draws_around_one_point_bounce(tmp_path: Path) -> None:
    found = answer("convergence_analysis", write(tmp_path, around(2)))
    assert found.values["state"] == "bouncing"
    assert found.values["cos_successive"] == pytest.approx(-0.5, abs=0.03)
    assert found.values["straightness"] == pytest.approx(found.null["bouncing"]["straightness"], abs=0.01)


@pytest.mark.parametrize(("drift", "noise"), [(0.01, 0.01), (0.01, 0.02), (0.02, 0.005)])
def test_a_drift_progresses_with_the_cosine_of_its_share(tmp_path: Path, drift: float, noise: float) -> None:
    found = answer("convergence_analysis", write(tmp_path, walk(3, drift, noise)))
    assert found.values["state"] == "progressing"
    assert found.values["cos_successive"] == pytest.approx(drift**2 / (drift**2 + noise**2), abs=0.03)


def test_an_exponential_approach_slows_and_is_not_called_converged_without_a_loss(tmp_path: Path) -> None:
    found = answer("convergence_analysis", write(tmp_path, exponential(4)))
    assert found.values["state"] == "slowing"
    assert found.values["straightness"] > 0.9
    assert found.values["step_ratio"] < 0.1
    assert "no loss" in found.message


def test_an_oscillation_bounces_with_a_cosine_near_minus_one(tmp_path: Path) -> None:
    found = answer("convergence_analysis", write(tmp_path, swinging(5)))
    assert found.values["cos_successive"] < -0.95
    assert found.values["state"] == "bouncing"
    assert null_table(9)["oscillation"]["straightness"] == pytest.approx(1 / 9)


def test_sums_along_the_path_are_those_of_numpy(tmp_path: Path) -> None:
    series = walk(6, drift=0.003, k=4)
    found = answer("convergence_analysis", write(tmp_path, series))
    stored = [weight.astype(np.float32).astype(np.float64) for weight in series]
    steps = np.diff(stored, axis=0)
    norms = np.linalg.norm(steps, axis=1)
    cosines = [steps[i] @ steps[i + 1] / norms[i] / norms[i + 1] for i in range(3)]
    assert found.values["cosines"] == pytest.approx(cosines, rel=1e-9)
    assert found.values["rel_steps"] == pytest.approx(norms / np.linalg.norm(stored[1:], axis=1), rel=1e-12)
    assert found.values["straightness"] == pytest.approx(np.linalg.norm(stored[-1] - stored[0]) / norms.sum(), rel=1e-9)
    assert found.coverage == 1.0
    assert len(found.detail) == 5


def test_values_that_are_not_finite_are_left_out_and_counted(tmp_path: Path) -> None:
    series = walk(7, k=3)
    series[1][5], series[2][5], series[2][6000] = np.nan, np.inf, -np.inf
    found = answer("convergence_analysis", write(tmp_path, series))
    assert found.values["n_skipped"] == 2
    assert all(math.isfinite(value) for value in [*found.values["cosines"], *found.values["rel_steps"]])


def test_two_checkpoints_have_no_cosine_and_the_message_says_what_to_give(tmp_path: Path) -> None:
    found = answer("convergence_analysis", write(tmp_path, walk(8, k=1)))
    assert (found.status, found.values["state"], found.values["cos_successive"]) == ("not_measurable", None, None)
    assert "three or more" in found.message
    assert found.values["rel_steps"][0] == pytest.approx(0.01, rel=0.02)


def test_separate_trainings_have_no_path(tmp_path: Path) -> None:
    paths = write(tmp_path, [start(1), start(2), start(3)])
    assert answer("convergence_analysis", paths).values["state"] == "unrelated"
    progress = answer("learning_progress", [paths[0], paths[-1]])
    assert (progress.values["trend"], progress.values["related"]) == ("unrelated", False)
    assert progress.values["magnitude"] == pytest.approx(math.sqrt(2), rel=0.02)


def test_a_series_of_equal_checkpoints_is_unchanged(tmp_path: Path) -> None:
    paths = write(tmp_path, [start(1)] * 3)
    assert answer("convergence_analysis", paths).values["state"] == "unchanged"
    assert answer("learning_progress", paths).values["trend"] == "unchanged"


def test_steps_that_shrink_with_the_learning_rate_are_annealed_and_not_converged(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    rates = [0.1 * 0.5**index for index in range(6)]
    weights = [start(9)]
    for before, after in pairwise(rates):
        weights.append(weights[-1] + (before + after) / 2 * 0.1 * rng.standard_normal(N))
    found = answer("convergence_analysis", trained(tmp_path, weights, rates, [3.0 - 0.02 * i for i in range(60)]))
    assert found.values["state"] == "annealed"
    assert found.values["step_ratio"] < 0.2
    assert found.values["step_per_lr_ratio"] == pytest.approx(1, abs=0.1)


def test_a_flat_loss_and_falling_steps_at_one_learning_rate_are_convergence(tmp_path: Path) -> None:
    series = exponential(10)
    found = answer("convergence_analysis", trained(tmp_path, series, [0.1] * 10, flat_losses()))
    assert found.values["state"] == "converged"
    assert found.values["loss"]["is_flat"]
    falling = trained(tmp_path, series, [0.1] * 10, list(np.linspace(3, 1, 60)))
    assert answer("convergence_analysis", falling).values["state"] == "slowing"


def test_bouncing_at_a_flat_loss_is_convergence(tmp_path: Path) -> None:
    found = answer("convergence_analysis", trained(tmp_path, around(11), [0.1] * 10, flat_losses()))
    assert found.values["state"] == "converged"


def test_unequal_spacing_is_divided_out_and_wrong_order_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    counts = [0, 100, 500, 600]
    direction, weights = rng.standard_normal(N), [start(12)]
    for before, after in pairwise(counts):
        weights.append(weights[-1] + (after - before) * 1e-4 * direction)
    paths = [
        checkpoint(tmp_path / f"{count}.pt", weight, count, 0.1) for count, weight in zip(counts, weights, strict=True)
    ]
    found = answer("convergence_analysis", paths)
    assert max(found.values["rel_steps"]) > 3.5 * min(found.values["rel_steps"])
    assert found.values["rel_steps_per_lr"] == pytest.approx([found.values["rel_steps_per_lr"][0]] * 3, rel=0.1)
    assert "unequally spaced" in found.message
    assert "not in the order" in answer("convergence_analysis", [paths[0], paths[2], paths[1]]).message


def test_progress_agrees_with_numpy(tmp_path: Path) -> None:
    old, new = walk(13, drift=0.01, k=1)
    new[:10] = old[:10]
    found = answer("learning_progress", write(tmp_path, [old, new]))
    a, b = old.astype(np.float32).astype(float), new.astype(np.float32).astype(float)
    values = found.values
    assert values["magnitude"] == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-10)
    assert values["norm_ratio"] == pytest.approx(np.linalg.norm(b) / np.linalg.norm(a), rel=1e-10)
    cos = (b - a) @ a / np.linalg.norm(b - a) / np.linalg.norm(a)
    assert values["cos_move_old"] == pytest.approx(cos, rel=1e-6)
    assert values["params_changed_share"] == pytest.approx(float(np.mean(a != b)))
    corrs = [np.corrcoef(a[part], b[part])[0, 1] for part in (slice(0, N // 2), slice(N // 2, N))]
    assert values["centred_cos"] == pytest.approx(np.median(corrs), rel=1e-9)
    assert values["centred_cos_z"] == pytest.approx(np.median(corrs) * math.sqrt(N / 2), rel=1e-9)
    assert (values["trend"], values["speed"], found.coverage) == ("moved", None, 1.0)
    assert "how many steps" in found.message


def test_a_change_of_one_rounding_is_no_progress(tmp_path: Path) -> None:
    weight = torch.tensor(start(14), dtype=torch.float32)
    rounded = weight.to(torch.bfloat16)
    paths = [tmp_path / "a.pt", tmp_path / "b.pt"]
    for path, value in zip(paths, (weight, rounded), strict=True):
        torch.save({"fc.weight": value.reshape(64, -1)}, path)
    found = answer("learning_progress", paths)
    assert found.values["trend"] == "within rounding"
    assert found.values["rounding_ratio"] == pytest.approx(1.0, abs=0.1)


def test_weights_that_only_shrank_show_weight_decay(tmp_path: Path) -> None:
    weight = start(15)
    found = answer("learning_progress", write(tmp_path, [weight, 0.97 * weight]))
    assert found.values["trend"] == "weight decay"
    assert found.values["cos_move_old"] == pytest.approx(-1, abs=1e-6)
    grown = answer("learning_progress", write(tmp_path, [weight, 1.03 * weight]))
    assert grown.values["trend"] == "moved"


def test_metrics_with_a_known_direction_make_the_trend(tmp_path: Path) -> None:
    old, new = walk(16, k=1)
    paths = [tmp_path / "old.pt", tmp_path / "new.pt"]
    for better, word in ((0.4, "improving"), (0.9, "worsening")):
        for path, weight, loss in zip(paths, (old, new), (0.5, better), strict=True):
            torch.save({"model": {"fc.weight": torch.tensor(weight.reshape(64, -1))}, "val_loss": loss}, path)
        found = answer("learning_progress", paths)
        assert found.values["trend"] == word
        (row,) = found.values["metric_delta"]
        assert (row["old"], row["new"], row["better"]) == (0.5, better, word == "improving")


@pytest.mark.parametrize(("kind", "rate", "n_steps"), [("Adam", 0.003, 40), ("AdamW", 0.01, 15)])
def test_the_bound_on_steps_of_adam_holds_and_is_not_empty(
    tmp_path: Path, kind: str, rate: float, n_steps: int
) -> None:
    torch.manual_seed(1)
    layer = torch.nn.Linear(48, 64)
    decay = {"weight_decay": 0.0} if kind == "AdamW" else {}
    optimizer = getattr(torch.optim, kind)(layer.parameters(), lr=rate, **decay)
    inputs = torch.randn(64, 48)
    target = torch.randn(64, 64) * 10

    def save(name: str) -> Path:
        path = tmp_path / name
        torch.save({"model": layer.state_dict(), "optimizer": optimizer.state_dict()}, path)
        return path

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            (layer(inputs) - target).square().mean().backward()
            optimizer.step()

    train(2)
    first = save("a.pt")
    train(n_steps)
    found = answer("learning_progress", [first, save("b.pt")])
    assert found.values["steps_between"] == n_steps
    assert n_steps / 8 < found.values["steps_lower_bound"] <= n_steps
    assert found.values["status_of"]["steps_lower_bound"] == "bounded"
    assert found.values["speed"] == pytest.approx(found.values["magnitude"] / n_steps)
    assert found.values["rel_change_per_lr"] == pytest.approx(found.values["magnitude"] / (n_steps * rate))


def test_a_layer_without_state_that_changed_was_replaced(tmp_path: Path) -> None:
    torch.manual_seed(2)
    body, head = torch.nn.Linear(48, 64), torch.nn.Linear(64, 4)
    optimizer = torch.optim.Adam(body.parameters(), lr=0.001)
    for name in ("a.pt", "b.pt"):
        body(torch.randn(4, 48)).square().sum().backward()
        optimizer.step()
        model = {**{f"body.{k}": v.clone() for k, v in body.state_dict().items()}}
        model |= {f"head.{k}": v.clone() for k, v in head.state_dict().items()}
        torch.save({"model": model, "optimizer": optimizer.state_dict()}, tmp_path / name)
        torch.nn.init.normal_(head.weight)
    report = compare(tmp_path / "a.pt", tmp_path / "b.pt", analyses=["learning-progress"])
    replaced = [item for item in report.findings if item.kind == "learning_progress_tensor"]
    assert [item.where for item in replaced] == ["model.head.weight"]
    (summary,) = [item for item in report.findings if item.kind == "learning_progress"]
    assert summary.values["layers_frozen"] == ["model.head.bias"]


def test_optimizer_state_and_buffers_do_not_count_as_movement(tmp_path: Path) -> None:
    weight = torch.tensor(start(17).reshape(64, -1))
    for index, name in enumerate(("a.pt", "b.pt")):
        group = {"lr": 0.1, "betas": (0.9, 0.999), "params": [0]}
        state = {"state": {0: {"exp_avg": weight + index, "exp_avg_sq": weight**2 + index, "step": index}}}
        model = {"fc.weight": weight, "bn.running_mean": torch.zeros(4) + index}
        torch.save({"model": model, "optimizer": {**state, "param_groups": [group]}}, tmp_path / name)
    found = answer("learning_progress", [tmp_path / "a.pt", tmp_path / "b.pt"])
    assert found.values["trend"] == "unchanged"
    assert [row["tensor"] for row in found.values["tensors"]] == ["model.fc.weight"]


def test_twice_the_move_is_twice_the_magnitude(tmp_path: Path) -> None:
    old, new = walk(18, k=1)
    once = answer("learning_progress", write(tmp_path, [old, new], "float64")).values
    twice = answer("learning_progress", write(tmp_path, [old, 2 * new - old], "float64")).values
    assert twice["magnitude"] == pytest.approx(2 * once["magnitude"], rel=1e-9)
    assert twice["rel_change_total"] != once["rel_change_total"]


def test_models_without_a_common_parameter_are_not_measurable(tmp_path: Path) -> None:
    for index in range(2):
        save_file({f"w{index}": np.zeros((2, index + 2), "f4")}, tmp_path / f"{index}.safetensors")
    for kind in ("learning_progress", "convergence_analysis"):
        found = answer(kind, [tmp_path / "0.safetensors", tmp_path / "1.safetensors"])
        assert (found.status, found.coverage) == ("not_measurable", 0.0)
        assert "give" in found.message
