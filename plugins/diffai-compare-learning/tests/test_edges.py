"""Progress and convergence where an answer is easily said too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from planted_series import answer, checkpoint, start, write

from diffai_core import compare

if TYPE_CHECKING:
    from pathlib import Path


def test_a_training_that_ran_away_is_not_called_a_separate_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(30)
    old = start(1)
    new = old + 85 * np.std(old) * rng.standard_normal(old.shape)
    for paths in (write(tmp_path, [old, new]), write(tmp_path, [new, old])):
        progress = answer("learning_progress", paths)
        assert progress.values["related"] is None
        assert progress.values["trend"] != "unrelated"
        assert "cannot be told" in progress.message
        assert answer("convergence_analysis", paths).values["state"] != "unrelated"


def test_equal_step_counts_are_said_to_be_equal_and_not_unknown(tmp_path: Path) -> None:
    rng = np.random.default_rng(31)
    weights = start(1), start(1) * (1 + 0.01 * rng.standard_normal(start(1).shape))
    paths = [checkpoint(tmp_path / f"{i}.pt", weight, 80, 0.01) for i, weight in enumerate(weights)]
    assert "count the same steps" in answer("learning_progress", paths).message
    assert "count the same steps" in answer("convergence_analysis", paths).message
    same = answer("convergence_analysis", [paths[0]] * 2)
    assert same.message == "no parameter changed"


def test_a_small_tensor_that_was_trained_beside_rounded_ones_is_no_rounding(tmp_path: Path) -> None:
    rng = np.random.default_rng(32)
    old = {"a.weight": torch.tensor(rng.standard_normal((64, 64))).float(), "b.weight": torch.full((4, 4), 0.5)}
    cast = {name: tensor.bfloat16() for name, tensor in old.items()}
    files = [tmp_path / f"{name}.pt" for name in ("old", "cast", "trained", "head")]
    torch.save(old, files[0])
    torch.save(cast, files[1])
    torch.save({**cast, "b.weight": cast["b.weight"] * 1.03}, files[2])
    torch.save({"a.weight": cast["a.weight"], "b.weight": cast["b.weight"] * 1.03}, files[3])
    assert answer("learning_progress", files[:2]).values["trend"] == "within rounding"
    assert answer("learning_progress", [files[0], files[2]]).values["trend"] == "moved"
    assert answer("learning_progress", [files[1], files[3]]).values["trend"] == "moved"


def test_rounding_is_not_told_of_changes_to_codes_without_a_known_rounding(tmp_path: Path) -> None:
    rng = np.random.default_rng(33)
    weight = rng.standard_normal((64, 64))
    torch.save({"a.weight": torch.tensor(weight), "b.weight": torch.tensor(weight).float()}, tmp_path / "old.pt")
    torch.save({"a.weight": torch.tensor(weight * 1.1), "b.weight": torch.tensor(weight).float()}, tmp_path / "new.pt")
    found = answer("learning_progress", [tmp_path / "old.pt", tmp_path / "new.pt"])
    assert (found.values["rounding_ratio"], found.values["trend"]) == (None, "moved")


def test_few_parameters_give_a_hint_only_and_none_that_are_finite_no_state(tmp_path: Path) -> None:
    rng = np.random.default_rng(34)
    files = [tmp_path / f"{index}.pt" for index in range(4)]
    for index, path in enumerate(files):
        torch.save({"w": torch.tensor(rng.standard_normal(4) + index).float()}, path)
    found = answer("convergence_analysis", files)
    assert found.status == "hint"
    assert "of 4 parameters only" in found.message
    torch.save({"w": torch.full((4,), float("nan"))}, files[1])
    found = answer("convergence_analysis", files)
    assert (found.status, found.coverage) == ("not_measurable", 0.0)
    assert "finite" in found.message


def test_the_single_state_of_lbfgs_makes_no_parameter_a_replaced_one(tmp_path: Path) -> None:
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = torch.nn.Linear(16, 32)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step(lambda: 1.0)
        paths.append(tmp_path / f"lbfgs_{seed}.pt")
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, paths[-1])
    report = compare(*paths, analyses=["learning-progress"])
    assert [finding.where for finding in report.findings if finding.kind == "learning_progress_tensor"] == []
