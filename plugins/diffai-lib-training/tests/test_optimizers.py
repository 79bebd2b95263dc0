"""Optimizers are those that torch saved: kind, settings, steps, and the parameter that each state belongs to."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from diffai_lib_training import training_of

from diffai_core.testing import artifact

torch = pytest.importorskip("torch")
OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
    "adam": lambda params: torch.optim.Adam(params, lr=1e-3, amsgrad=True),
    "adamw": lambda params: torch.optim.AdamW(params, lr=1e-3, betas=(0.8, 0.95)),
    "nadam": torch.optim.NAdam,
    "radam": lambda params: torch.optim.RAdam(params, decoupled_weight_decay=True),
    "adamax": torch.optim.Adamax,
    "adafactor": torch.optim.Adafactor,
    "rmsprop": lambda params: torch.optim.RMSprop(params, momentum=0.5, centered=True),
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "asgd": torch.optim.ASGD,
    "rprop": torch.optim.Rprop,
}


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(10, 8), torch.nn.Flatten(), torch.nn.Linear(32, 16), torch.nn.BatchNorm1d(16),
        torch.nn.Linear(16, 16), torch.nn.LayerNorm(16), torch.nn.Linear(16, 3),
    )  # fmt: skip


def train(model, optimizer, n_steps=3):
    for _ in range(n_steps):
        optimizer.zero_grad()
        model(torch.randint(0, 7, (5, 4))).square().mean().backward()
        optimizer.step()


def true_names(model, optimizer):
    """Return the name of each parameter by the number that the optimizer's state dict gives it."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    in_order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {str(index): names[parameter] for index, parameter in enumerate(in_order)}


def no_decay(model):
    """Return the groups of a training that keeps weight decay from vectors."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]


def three_groups(model):
    """Return the groups of a training that treats biases and norms each in their own way."""
    kinds = {"bias": [], "norm": [], "matrix": []}
    for name, parameter in model.named_parameters():
        kinds["bias" if name.endswith("bias") else "norm" if parameter.ndim == 1 else "matrix"].append(parameter)
    return [{"params": kinds[kind]} for kind in ("bias", "matrix", "norm")]


def backbone_and_head(model):
    return [{"params": list(model[:6].parameters()), "lr": 1e-4}, {"params": list(model[6:].parameters()), "lr": 1e-2}]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_of_torch_is_known_by_its_state(saved, kind):
    model = network()
    optimizer = OPTIMIZERS[kind](model.parameters())
    train(model, optimizer)
    found = training_of(saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()}))
    (state,) = found.optimizers
    assert (state.path, state.kind) == ("optimizer", kind)
    assert {item.key: item.name.removeprefix("model.") for item in state.states} == true_names(model, optimizer)
    assert all(
        item.shape == tuple(model.get_parameter(item.name.removeprefix("model.")).shape) for item in state.states
    )
    assert {item.step() for item in state.states} == ({None} if kind == "sgd" else {3})
    assert found.step() == (None if kind == "sgd" else 3)
    assert [group.learning_rate for group in state.groups] == [optimizer.param_groups[0]["lr"]]
    assert state.groups[0].betas == optimizer.param_groups[0].get("betas")


@pytest.mark.parametrize("groups", [no_decay, three_groups, backbone_and_head])
def test_states_of_several_groups_get_the_names_of_their_parameters(saved, groups):
    model = network()
    optimizer = torch.optim.AdamW(groups(model))
    train(model, optimizer)
    (state,) = training_of(saved({"state_dict": model.state_dict(), "optim": optimizer.state_dict()})).optimizers
    wanted = true_names(model, optimizer)
    named = {item.key: item.name.removeprefix("state_dict.") for item in state.states if item.name}
    assert named == {key: wanted[key] for key in named}  # never a wrong name
    assert len(named) == len(wanted)
    assert {item.key: item.group for item in state.states} == {
        str(number): index
        for index, group in enumerate(optimizer.state_dict()["param_groups"])
        for number in group["params"]
    }


def test_groups_that_no_rule_explains_are_named_only_where_one_way_fits(saved):
    model = network()
    shuffled = [model[4].weight, model[0].weight, model[6].bias, model[2].bias]
    optimizer = torch.optim.Adam(shuffled)
    train(model, optimizer)
    (state,) = training_of(saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()})).optimizers
    wanted = true_names(model, optimizer)
    assert all(item.name in {"", f"model.{wanted[item.key]}"} for item in state.states)


def test_frozen_parameters_and_those_without_a_gradient_shift_no_names(saved):
    model = network()
    model[0].weight.requires_grad_(False)  # stays in the optimizer, as in many published checkpoints
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    (state,) = training_of(saved({"model": model.state_dict(), "optimizer": optimizer.state_dict()})).optimizers
    assert state.keys_without_state == ("0",)
    wanted = true_names(model, optimizer)
    assert {item.key: item.name.removeprefix("model.") for item in state.states} == {
        key: name for key, name in wanted.items() if key != "0"
    }


def test_states_keyed_by_names_belong_to_the_tensors_of_these_names(saved):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    names = true_names(model, optimizer)
    state = optimizer.state_dict()
    by_name = {
        "state": {names[str(key)]: value for key, value in state["state"].items()},
        "param_groups": [
            {**group, "params": [names[str(key)] for key in group["params"]]} for group in state["param_groups"]
        ],
    }
    (found,) = training_of(saved({"model": model.state_dict(), "optimizer": by_name})).optimizers
    assert {item.key: item.name for item in found.states} == {name: f"model.{name}" for name in names.values()}
    assert {item.group for item in found.states} == {0}


@pytest.mark.parametrize("how", ["flattened", "distributed"])
def test_groups_that_are_flattened_into_keys_are_put_together(tmp_path, saved, how):
    from diffai_load_pytorch.loader import open_pytorch
    from torch.distributed.checkpoint import state_dict as sharding

    from diffai_core.plugin import Source

    model = network()
    optimizer = torch.optim.AdamW(no_decay(model), lr=1e-3, betas=(0.8, 0.95))
    train(model, optimizer)
    flat = sharding.StateDictOptions(flatten_optimizer_state_dict=how == "flattened")
    weights, state = sharding.get_state_dict(model, optimizer, options=flat)
    if how == "flattened":
        found = training_of(saved({"model": weights, "optim": state}))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this process is the only one
            torch.distributed.checkpoint.save({"model": weights, "optim": state}, checkpoint_id=tmp_path, no_dist=True)
        with open_pytorch(Source(tmp_path), {}) as side:
            found = training_of(side)
    (state,) = found.optimizers
    assert (state.path, state.kind) == ("optim", "adamw")
    assert [(group.learning_rate, group.betas, group.weight_decay) for group in state.groups] == [
        (1e-3, (0.8, 0.95), 0.1),
        (1e-3, (0.8, 0.95), 0.0),
    ]
    assert {item.name: item.group for item in state.states} == {
        f"model.{name}": int(parameter.ndim <= 1) for name, parameter in model.named_parameters()
    }
    assert len({rate.path for rate in found.learning_rates}) == 2


def test_an_optimizer_saved_alone_or_as_an_object_is_found(saved):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    (alone,) = training_of(saved(optimizer.state_dict(), "optimizer.pt")).optimizers
    assert (alone.path, alone.kind, len(alone.states)) == ("", "adam", len(list(model.parameters())))
    assert {item.name for item in alone.states} == {""}  # there is no model to name them by
    (whole,) = training_of(saved(optimizer, "whole.pt")).optimizers
    assert (whole.kind, {item.name for item in whole.states}) == (
        "adam",
        {f"state.{index}.__key__" for index in range(len(alone.states))},
    )


def test_two_optimizers_of_one_file_are_two(saved):
    models = {name: network() for name in ("generator", "discriminator")}
    optimizers = {
        "opt_g": torch.optim.Adam(models["generator"].parameters(), lr=1e-3),
        "opt_d": torch.optim.SGD(models["discriminator"].parameters(), lr=1e-2, momentum=0.9),
    }
    for model, optimizer in zip(models.values(), optimizers.values(), strict=True):
        train(model, optimizer)
    parts = {**models, **optimizers}
    found = training_of(saved({name: part.state_dict() for name, part in parts.items()}))
    assert {optimizer.path: optimizer.kind for optimizer in found.optimizers} == {"opt_g": "adam", "opt_d": "sgd"}
    # both models have the same shapes, so that nothing tells which of them an optimizer is for
    assert {item.name for optimizer in found.optimizers for item in optimizer.states} == {""}


SLOTS = {
    "lion": {"exp_avg": (4, 3)},
    "adafactor": {"exp_avg_sq_row": (4,), "exp_avg_sq_col": (3,)},
    "adam-8bit": {"state1": (4, 3), "state2": (4, 3), "absmax1": (1,), "absmax2": (1,), "qmap1": (256,)},
    "one-moment-8bit": {"state1": (4, 3), "absmax1": (1,), "qmap1": (256,)},
}


@pytest.mark.parametrize("kind", SLOTS)
def test_optimizers_of_other_packages_are_known_by_their_slots(kind):
    tensors = {f"optimizer.state.0.{slot}": np.zeros(shape, np.float32) for slot, shape in SLOTS[kind].items()}
    side = artifact(
        {"model.w": np.zeros((4, 3), np.float32), "model.b": np.zeros(3, np.float32), **tensors},
        {"optimizer": {"param_groups": [{"lr": 1e-4, "params": [0]}]}},
        roles=dict.fromkeys(tensors, "optimizer"),
    )
    (found,) = training_of(side).optimizers
    assert found.kind == kind
    assert [(state.shape, state.name) for state in found.states] == [((4, 3), "model.w")]


def test_sorted_tensors_name_only_parameters_whose_shape_no_other_has():
    shapes = {"a.bias": (3,), "a.weight": (3, 2), "b.bias": (3,), "b.weight": (3, 3)}
    moments = {f"optimizer.pt:state.{index}.exp_avg": np.zeros(shape) for index, shape in enumerate(shapes.values())}
    side = artifact(
        {**{name: np.zeros(shape) for name, shape in shapes.items()}, **moments},
        {"optimizer.pt": {"param_groups": [{"lr": 0.1, "params": [0, 1, 2, 3]}]}},
        roles=dict.fromkeys(moments, "optimizer"),
    )
    (found,) = training_of(side).optimizers
    assert found.path == '["optimizer.pt"]'
    assert [state.name for state in found.states] == ["", "a.weight", "", "b.weight"]


def test_what_the_user_leaves_out_is_not_looked_at(saved):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    side = saved({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 2})
    found = training_of(side, lambda path: not path.startswith("optimizer"))
    assert (found.optimizers, found.epoch, found.step()) == ((), 2, None)


def test_many_layers_take_no_more_than_linear_time():
    n_layers = 5_000
    weights = {f"{index}.weight": np.zeros((index % 7 + 1, 2)) for index in range(n_layers)}
    moments = {f"optimizer.state.{index}.exp_avg": array for index, array in enumerate(weights.values())}
    tree = {"optimizer": {"param_groups": [{"lr": 0.1, "params": list(range(n_layers))}]}}
    (found,) = training_of(artifact({**weights, **moments}, tree, roles=dict.fromkeys(moments, "optimizer"))).optimizers
    assert [state.name for state in found.states] == list(weights)
