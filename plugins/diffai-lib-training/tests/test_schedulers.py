"""Schedulers are those of torch, and their closed forms give the rates that torch sets."""

from __future__ import annotations

import math

import pytest
from diffai_lib_training import learning_rates_at, training_of

torch = pytest.importorskip("torch")
L = torch.optim.lr_scheduler
SCHEDULERS = {
    "constant": lambda opt: L.ConstantLR(opt, 0.3, 4),
    "cosine": lambda opt: L.CosineAnnealingLR(opt, 10, 0.001),
    "cosine-restarts": lambda opt: L.CosineAnnealingWarmRestarts(opt, 3, 2, 0.002),
    "cyclic": lambda opt: L.CyclicLR(opt, 0.01, 0.1, 4, mode="exp_range", gamma=0.99),
    "exponential": lambda opt: L.ExponentialLR(opt, 0.9),
    "linear": lambda opt: L.LinearLR(opt, 0.1, 0.9, 4),
    "multi-step": lambda opt: L.MultiStepLR(opt, [2, 4, 4, 9], 0.5),
    "one-cycle": lambda opt: L.OneCycleLR(opt, [0.1, 0.3], 30),
    "polynomial": lambda opt: L.PolynomialLR(opt, 10, 2.0),
    "sequential": lambda opt: L.SequentialLR(opt, [L.LinearLR(opt, 0.1, 1.0, 3), L.CosineAnnealingLR(opt, 20)], [3]),
    "step": lambda opt: L.StepLR(opt, 3, 0.5),
    "chained": lambda opt: L.ChainedScheduler([L.ConstantLR(opt, 0.1, 2), L.ExponentialLR(opt, 0.9)], opt),
}
VARIANTS = {
    "cosine-restarts": lambda opt: L.CosineAnnealingWarmRestarts(opt, 4),
    "cyclic": lambda opt: L.CyclicLR(opt, 0.01, 0.1, 3, 5, mode="triangular2"),
    "one-cycle": lambda opt: L.OneCycleLR(opt, 0.1, 30, anneal_strategy="linear", three_phase=True),
}
UNDETERMINED = {
    "lambda": lambda opt: L.LambdaLR(opt, lambda step: 0.9**step),
    "plateau": lambda opt: L.ReduceLROnPlateau(opt, patience=1),
}


def optimizer():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(2))], "lr": rate} for rate in (0.1, 0.03)]
    return torch.optim.SGD(groups, momentum=0.9)


def checkpoint(opt, scheduler):
    return {"optimizer": opt.state_dict(), "scheduler": scheduler.state_dict()}


@pytest.mark.parametrize(("kind", "build"), [*SCHEDULERS.items(), *VARIANTS.items()])
def test_the_closed_form_gives_the_rates_of_torch_at_every_step(saved, kind, build):
    opt = optimizer()
    scheduler = build(opt)
    rates = [[group["lr"] for group in opt.param_groups]]
    for _ in range(25):
        opt.step()
        scheduler.step()
        rates.append([group["lr"] for group in opt.param_groups])
    training = training_of(saved(checkpoint(opt, scheduler)))
    (found,) = training.schedulers
    groups = [group.values for group in training.optimizers[0].groups]
    assert (found.path, found.kind, found.position) == ("scheduler", kind, 25)
    assert list(found.last_rates) == rates[-1]
    for position, wanted in enumerate(rates):
        assert learning_rates_at(found, position, groups) == pytest.approx(wanted, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("kind", "build"), UNDETERMINED.items())
def test_schedules_that_the_state_does_not_determine_have_no_closed_form(saved, kind, build):
    opt = optimizer()
    scheduler = build(opt)
    opt.step()
    scheduler.step(*([1.0] if kind == "plateau" else []))
    (found,) = training_of(saved(checkpoint(opt, scheduler))).schedulers
    assert found.kind == kind
    assert learning_rates_at(found, 1) is None


def test_rates_are_found_with_group_and_place(saved):
    opt = optimizer()
    scheduler = SCHEDULERS["step"](opt)
    found = training_of(saved({**checkpoint(opt, scheduler), "hparams": {"optim": {"lr": 0.1}}})).learning_rates
    assert [(rate.path, rate.value, rate.source, rate.group) for rate in found] == [
        ("optimizer.param_groups[0].lr", 0.1, "optimizer", 0),
        ("optimizer.param_groups[1].lr", 0.03, "optimizer", 1),
        ("scheduler._last_lr[0]", 0.1, "scheduler", 0),
        ("scheduler._last_lr[1]", 0.03, "scheduler", 1),
        ("hparams.optim.lr", 0.1, "settings", None),
    ]


DAMAGED = [
    {"T_max": 0, "eta_min": 0.0}, {"T_max": "10", "eta_min": 0.0}, {"T_max": 10, "eta_min": math.nan},
    {"step_size": 0, "gamma": 0.1}, {"gamma": 1e300}, {"_schedulers": [1, None], "_milestones": [2]},
    {"total_steps": 3, "_schedule_phases": 7}, {"milestones": 3, "gamma": 0.1}, {"total_iters": 0, "power": 1.0},
    {"max_lrs": [0.1], "total_size": 0.0, "step_ratio": 0.5}, {"T_0": 0, "T_mult": 1, "eta_min": 0.0},
    {"T_0": 0, "T_mult": 2, "eta_min": 0.0},
]  # fmt: skip


@pytest.mark.timeout(5)
@pytest.mark.parametrize("fields", DAMAGED, ids=str)
def test_senseless_fields_give_no_rate_and_end(fields):
    from diffai_core.testing import artifact

    state = {"last_epoch": 9, "base_lrs": [0.1], "_last_lr": [0.1], **fields}
    (found,) = training_of(artifact({}, {"scheduler": state})).schedulers
    assert learning_rates_at(found, 10**9) is None
