"""Learning rates are those of torch's schedulers, and weights give them back exactly one step apart."""

from __future__ import annotations

import copy
import json
import math

import pytest
from diffai_compare_hyperparameters.warmup import Warmup

torch = pytest.importorskip("torch")
L = torch.optim.lr_scheduler
SCHEDULES = {
    "cosine (T_max=50, eta_min=0.001)": lambda opt: L.CosineAnnealingLR(opt, 50, 0.001),
    "cosine-restarts (T_0=3, T_mult=2, eta_min=0.0)": lambda opt: L.CosineAnnealingWarmRestarts(opt, 3, 2),
    "exponential (gamma=0.9)": lambda opt: L.ExponentialLR(opt, 0.9),
    "one-cycle (total_steps=30)": lambda opt: L.OneCycleLR(opt, [0.1, 0.3], 30),
    "sequential (linear (start_factor=0.1, end_factor=1.0, total_iters=3), step (step_size=2, gamma=0.5))": (
        lambda opt: L.SequentialLR(opt, [L.LinearLR(opt, 0.1, 1.0, 3), L.StepLR(opt, 2, 0.5)], [3])
    ),
}


def run(build, n_steps=7):
    """Return an optimizer with two groups and its scheduler after steps."""
    groups = [{"params": [torch.nn.Parameter(torch.ones(3, 2))], "lr": rate} for rate in (0.1, 0.03)]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    scheduler = build(optimizer)
    for _ in range(n_steps):
        optimizer.step()
        scheduler.step()
    return optimizer, scheduler


def saved(path, optimizer, scheduler, **more):
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), **more}, path)
    return path


@pytest.mark.parametrize("pattern", SCHEDULES)
def test_rates_on_schedule_are_confirmed_to_rounding(tmp_path, findings, pattern):
    optimizer, scheduler = run(SCHEDULES[pattern])
    path = saved(tmp_path / "a.pt", optimizer, scheduler)
    summary, others = findings(path, path)
    values = summary.values
    assert others == []
    assert values["lr_new"] == optimizer.param_groups[0]["lr"]
    assert values["pattern_new"] == pattern
    assert values["max_rel_error_new"] < 1e-14
    assert [group["lr"] for group in values["details_new"]["groups"]] == [g["lr"] for g in optimizer.param_groups]


def test_a_rate_that_was_changed_by_hand_is_off_its_schedule(tmp_path, findings):
    optimizer, scheduler = run(lambda opt: L.ExponentialLR(opt, 0.9))
    old = saved(tmp_path / "a.pt", optimizer, scheduler)
    optimizer.param_groups[1]["lr"] *= 1.5
    by_hand = saved(tmp_path / "b.pt", optimizer, scheduler)
    _, others = findings(old, by_hand)
    assert [(f.kind, f.level, f.values["path"]) for f in others] == [
        ("learning_rate_off_schedule", "warning", "param_groups")
    ]
    assert others[0].values["max_rel_error"] == pytest.approx(1 / 3)
    scheduler._last_lr = [rate * 1.001 for rate in scheduler.get_last_lr()]
    shifted = saved(tmp_path / "c.pt", optimizer, scheduler)
    _, others = findings(old, shifted)
    assert {f.values["path"] for f in others} == {"scheduler", "param_groups"}
    assert {f.level for f in findings(shifted, shifted)[1]} == {"info"}


@pytest.mark.parametrize("kind", ["linear", "cosine", "cosine_with_restarts", "constant_with_warmup", "inverse_sqrt"])
def test_warm_up_rises_in_a_line_and_the_rest_keeps_to_its_curve(kind):
    plan = Warmup(kind, 100, 1100)
    assert [plan.factor(step) for step in (0, 25, 50, 100)] == pytest.approx([0.0, 0.25, 0.5, 1.0])
    middle = {"linear": 0.5, "cosine": 0.5, "cosine_with_restarts": 0.5, "constant_with_warmup": 1.0}
    assert plan.factor(600) == pytest.approx(middle.get(kind, math.sqrt(100 / 600)))
    if kind in {"linear", "cosine", "cosine_with_restarts"}:
        assert plan.factor(1100) == pytest.approx(0.0, abs=1e-15)


def test_curves_without_warm_up_are_those_of_torch():
    for kind, build in (
        ("linear", lambda opt: L.PolynomialLR(opt, 20, 1.0)),
        ("cosine", lambda opt: L.CosineAnnealingLR(opt, 20)),
    ):
        for n_steps in range(21):
            optimizer, _ = run(build, n_steps)
            assert 0.1 * Warmup(kind, 0, 20).factor(n_steps) == pytest.approx(
                optimizer.param_groups[0]["lr"], abs=1e-15
            )


def trainer_folder(folder, *, stated=True, tamper=None):
    """Write the folder of a transformers training: linear decay to step 50 after 10 steps of warm-up."""

    def factor(step):
        return step / 10 if step < 10 else max(0.0, (50 - step) / 40)

    optimizer, scheduler = run(lambda opt: L.LambdaLR(opt, factor), 30)
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    torch.save({"w": torch.zeros(3, 2)}, folder / "pytorch_model.bin")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(scheduler.state_dict(), folder / "scheduler.pt")
    log = [{"step": s, "learning_rate": 0.1 * factor(s), "loss": 1 / s} for s in (5, 10, 20, 25, 30)]
    if tamper is not None:
        log[tamper]["learning_rate"] *= 1.1
    state = {"global_step": 30, "max_steps": 50, "epoch": 3.0, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    if stated:
        arguments = {"learning_rate": 0.1, "lr_scheduler_type": "linear", "warmup_steps": 10}
        (folder / "args.json").write_text(json.dumps(arguments))
    return folder


@pytest.mark.parametrize("stated", [True, False])
def test_the_schedule_of_a_trainer_is_reconstructed_with_its_warm_up(tmp_path, findings, stated):
    folder = trainer_folder(tmp_path / "a", stated=stated)
    summary, others = findings(folder, folder)
    assert others == []
    values = summary.values
    assert values["pattern_new"] == "linear over 50 steps after 10 steps of warm-up"
    assert values["max_rel_error_new"] < 1e-12
    assert values["lr_new"] == pytest.approx(0.05)
    assert values["details_new"]["step"] == 30


def test_a_log_that_leaves_the_stated_schedule_is_told(tmp_path, findings):
    good, bad = trainer_folder(tmp_path / "a"), trainer_folder(tmp_path / "b", tamper=3)
    _, others = findings(good, bad)
    assert [(f.kind, f.level) for f in others] == [("learning_rate_off_schedule", "warning")]
    assert others[0].values["path"].endswith("log_history")
    assert others[0].values["max_rel_error"] == pytest.approx(1 - 1 / 1.1, rel=1e-6)


def adamw(n_steps, rate=1e-3, decay=0.01, kind=torch.optim.AdamW, **more):
    """Return checkpoints of a training after each of its last two steps, the second after ``n_steps`` more."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.ReLU(), torch.nn.Linear(20, 5))
    optimizer = kind(model.parameters(), lr=rate, weight_decay=decay, **more)

    def step():
        optimizer.zero_grad()
        model(torch.randn(16, 30)).square().mean().backward()
        optimizer.step()

    for _ in range(20):
        step()
    before = copy.deepcopy({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    for _ in range(n_steps):
        step()
    return before, {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def both(tmp_path, states, forget=False):
    paths = [tmp_path / "old.pt", tmp_path / "new.pt"]
    for path, state in zip(paths, states, strict=True):
        torch.save(state, path)
    return paths


@pytest.mark.parametrize(("rate", "decay"), [(1e-3, 0.01), (1e-2, 0.1), (3e-4, 0.0)])
def test_one_step_apart_weights_give_back_rate_and_decay(tmp_path, findings, rate, decay):
    summary, _ = findings(*both(tmp_path, adamw(1, rate, decay)))
    values = summary.values
    assert values["lr_from_weights"] == pytest.approx(rate, rel=1e-3)
    assert values["weight_decay_from_weights"] == pytest.approx(decay, rel=0.02, abs=2e-3)
    assert values["from_weights"][0]["unexplained_share"] < 1e-6
    assert "lr_sum_lower_bound" not in values


def test_adam_without_decoupled_decay_gives_back_its_rate(tmp_path, findings):
    summary, _ = findings(*both(tmp_path, adamw(1, 1e-3, 0.0, torch.optim.Adam, amsgrad=True)))
    assert summary.values["lr_from_weights"] == pytest.approx(1e-3, rel=1e-3)
    assert summary.values["weight_decay_from_weights"] is None


@pytest.mark.parametrize("n_steps", [2, 10, 100])
def test_more_steps_apart_only_a_bound_is_told_and_it_holds(tmp_path, findings, n_steps):
    summary, _ = findings(*both(tmp_path, adamw(n_steps)))
    values = summary.values
    assert "lr_from_weights" not in values
    assert values["steps_between"] == n_steps
    assert 0 < values["lr_sum_lower_bound"] <= 1e-3 * n_steps
    assert values["lr_mean_lower_bound"] == pytest.approx(values["lr_sum_lower_bound"] / n_steps)


def test_weights_that_were_not_trained_give_no_rate(tmp_path, findings):
    before, after = adamw(1)
    after["model"] = {name: weight + torch.randn(weight.shape) for name, weight in after["model"].items()}
    summary, _ = findings(*both(tmp_path, (before, after)))
    assert "lr_from_weights" not in summary.values


def test_left_out_state_is_named(tmp_path, findings):
    summary, _ = findings(*both(tmp_path, adamw(1)), ignore_optimizer_state=True)
    assert summary.status == "not_measurable"
    assert "--ignore-optimizer-state" in summary.message
