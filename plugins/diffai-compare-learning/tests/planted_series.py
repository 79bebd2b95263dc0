"""Checkpoints and series of planted kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.numpy import save_file

from diffai_core import compare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffai_core.plugin import Finding

N = 8192
NAMES = ["epoch_50_lr_0.01", "converged", "loss_0.001", "bert_step_9000"]


def write(folder: Path, weights: Sequence[np.ndarray], dtype: str = "float32") -> list[Path]:
    """Write a checkpoint for each weight vector, as two tensors, under names that lie."""
    paths = []
    for index, weight in enumerate(weights):
        path = folder / f"{index:02d}_{NAMES[index % len(NAMES)]}.safetensors"
        half = len(weight) // 2
        save_file(
            {
                "layers.0.fc.weight": weight[:half].reshape(64, -1).astype(dtype),
                "layers.1.fc.weight": weight[half:].reshape(64, -1).astype(dtype),
            },
            path,
        )
        paths.append(path)
    return paths


def answer(kind: str, paths: Sequence[Path]) -> Finding:
    report = compare(*paths, analyses=[kind.replace("_", "-")])
    assert [item.message for item in report.findings if item.level == "error"] == []
    (found,) = [item for item in report.findings if item.kind == kind]
    return found


def start(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(N)


def walk(seed: int, drift: float = 0.0, noise: float = 0.01, k: int = 9) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    direction = rng.choice([-1.0, 1.0], N)
    path = [start(seed)]
    for _ in range(k):
        path.append(path[-1] + drift * direction + noise * rng.standard_normal(N))
    return path


def around(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    centre = start(seed)
    return [centre + 0.01 * rng.standard_normal(N) for _ in range(10)]


def exponential(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    end, rates = start(seed), rng.uniform(0.2, 0.8, N)
    away = 0.3 * rng.standard_normal(N)
    return [end + away * np.exp(-rates * step) for step in range(10)]


def swinging(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    centre, swing = start(seed), 0.01 * rng.standard_normal(N)
    return [centre + (-1) ** step * swing + 0.0005 * rng.standard_normal(N) for step in range(10)]


def checkpoint(path: Path, weight: np.ndarray, step: int, rate: float, losses: Sequence[float] = ()) -> Path:
    groups = [{"lr": rate, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "params": [0]}]
    log = [{"step": index, "eval_loss": value} for index, value in enumerate(losses)]
    state = {
        "model": {"fc.weight": torch.tensor(weight.reshape(64, -1), dtype=torch.float32)},
        "optimizer": {"state": {}, "param_groups": groups},
        "global_step": step,
        "log_history": log,
    }
    torch.save(state, path)
    return path


def trained(folder: Path, weights: Sequence[np.ndarray], rates: Sequence[float], losses: Sequence[float]) -> list[Path]:
    return [
        checkpoint(folder / f"{index}.pt", weight, 100 * index, rate, losses)
        for index, (weight, rate) in enumerate(zip(weights, rates, strict=True))
    ]


def flat_losses(seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    return [*np.linspace(3, 1, 30), *(1 + 0.01 * rng.standard_normal(40))]
