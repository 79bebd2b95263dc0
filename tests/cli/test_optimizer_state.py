"""``--ignore-optimizer-state``: what only a training needs to go on decides neither verdict nor exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from diffai_core.keys import is_training_state
from tests.helpers.command import findings_of, report_of, run_diffai

if TYPE_CHECKING:
    from pathlib import Path

torch = pytest.importorskip("torch")


@pytest.fixture(name="pair")
def saved_pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two checkpoints of one model; the second went on without learning anything (learning rate 0)."""
    torch.manual_seed(1)
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    paths = tmp_path / "one.pt", tmp_path / "two.pt"
    for path in paths:
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
        scheduler.step()
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": scheduler.state_dict(),
            "rng_state": torch.get_rng_state(),
        }
        torch.save(state, path)
    return paths


def test_checkpoints_that_differ_in_optimizer_state_only_are_the_same_without_it(pair: tuple[Path, Path]) -> None:
    assert run_diffai(*pair, "--quiet").returncode == 1
    report = report_of(*pair, "--ignore-optimizer-state")
    assert report["exit_code"] == 0
    assert report["verdict"]["message"].startswith("2 tensors equal bit for bit in the selection")


def test_what_was_ignored_is_told_with_its_bytes(pair: tuple[Path, Path]) -> None:
    (ignored,) = findings_of(report_of(*pair, "--ignore-optimizer-state"), "optimizer_state_ignored").values()
    state_bytes = 2 * (12 + 3) * 4 + 2 * 4  # exp_avg, exp_avg_sq and step of weight and bias
    rng_bytes = torch.get_rng_state().numel()
    assert ignored["values"]["n_tensors_old"] == ignored["values"]["n_tensors_new"] == 7
    assert ignored["values"]["n_bytes_old"] == state_bytes + rng_bytes
    assert ignored["values"]["entries"] == ["optimizer", "lr_scheduler"]


def test_a_changed_weight_is_a_difference_all_the_same(pair: tuple[Path, Path]) -> None:
    saved = torch.load(pair[1], weights_only=True)
    saved["model"]["weight"][0, 0] += 1
    torch.save(saved, pair[1])
    assert run_diffai(*pair, "--ignore-optimizer-state", "--quiet").returncode == 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("optimizer_states[0].state.0.exp_avg", True),
        ("optimizer.pt:state.0.exp_avg", True),
        ("checkpoint-10/scheduler.pt", True),
        ("rng_state_0.pth", True),
        ("grad_scaler.scale", True),
        ("torch_rng_state", True),
        ("model.optimizer.weight", True),
        ("optimizer_head.weight", False),
        ("noise_scheduler_embed", False),
        ("encoder.scale", False),
        ("scaler_net.weight", False),
        ("ema.weight", False),
    ],
)
def test_training_state_is_known_by_whole_parts_of_the_key(key: str, expected: bool) -> None:
    assert is_training_state(key) is expected
