"""Checkpoints as people write them: names, roles and the tree are those of the objects that were saved."""

from __future__ import annotations

import argparse
import collections
import warnings

import numpy as np
import pytest
import torch
from pytorch_files import assert_same, save_legacy, zipped_again

SAVE = pytest.mark.parametrize("save", [torch.save, save_legacy], ids=["zip", "legacy"])


class Net(torch.nn.Module):
    """A module with everything: nested, tied, frozen, buffers, settings."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(5, 4)
        self.body = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU())
        self.head = torch.nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight
        self.rnn = torch.nn.GRU(4, 3)
        self.body[0].weight.requires_grad_(False)
        self.register_buffer("mask", torch.ones(3))
        self.hidden = 7


class Sub(torch.Tensor):
    """A subclass of tensors."""


def test_a_state_dict_has_the_names_of_pytorch_and_nothing_else(tmp_path, opened):
    state = Net().state_dict()
    torch.save(state, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    assert list(artifact.tensors) == list(state)
    for name, tensor in state.items():
        assert_same(artifact.tensors[name], tensor)
    assert artifact.tree == {}
    assert artifact.foreign == ()
    assert artifact.tensors["head.weight"].storage == artifact.tensors["embed.weight"].storage


@SAVE
def test_a_whole_module_has_the_names_of_its_state_dict(tmp_path, opened, save):
    net = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it cannot find the source of the class
        save(net, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    state = net.state_dict()
    assert set(artifact.tensors) == set(state)
    for name, tensor in state.items():
        assert_same(artifact.tensors[name], tensor)
    assert artifact.tree["hidden"] == 7
    assert artifact.tree["body"]["1"]["eps"] == 1e-5
    assert artifact.tree["__class__"].endswith(".Net")
    assert artifact.tree["__frozen__"] == {"body.0.weight": True}
    assert artifact.tensors["mask"].role == artifact.tensors["body.1.running_mean"].role == "buffers"
    assert artifact.tensors["embed.weight"].role == "weights"
    assert [foreign.name.rpartition(".")[2] for foreign in artifact.foreign] == ["Net"]


def test_training_state_has_roles_and_a_tree(tmp_path, opened):
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5, gamma=0.3)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "state_dict": net.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
        "ema": {"weight": net.weight.detach().clone()},
        "gradients": {"weight": net.weight.grad},
        "hyper_parameters": collections.OrderedDict(lr=0.01, betas=(0.9, 0.99)),
        "args": argparse.Namespace(depth=3),
        "epoch": 4,
        "rng": np.random.RandomState(0).get_state()[1],
    }
    torch.save(checkpoint, tmp_path / "a.ckpt")
    artifact = opened(tmp_path / "a.ckpt")
    roles = {name: ref.role for name, ref in artifact.tensors.items()}
    assert roles == {
        "state_dict.weight": "weights",
        "state_dict.bias": "weights",
        **{
            f"optimizer_states.0.state.{i}.{part}": "optimizer"
            for i in (0, 1)
            for part in ("step", "exp_avg", "exp_avg_sq")
        },
        "ema.weight": "ema",
        "gradients.weight": "gradients",
        "rng": "weights",
    }
    for i, parameter in enumerate(net.parameters()):
        assert_same(artifact.tensors[f"optimizer_states.0.state.{i}.exp_avg"], optimizer.state[parameter]["exp_avg"])
    assert artifact.tree["optimizer_states"][0]["param_groups"][0]["lr"] == 0.01
    assert artifact.tree["lr_schedulers"][0]["gamma"] == 0.3
    assert artifact.tree["hyper_parameters"] == {"lr": 0.01, "betas": [0.9, 0.99]}
    assert artifact.tree["args"] == {"__class__": "argparse.Namespace", "depth": 3}
    assert artifact.tree["epoch"] == 4
    assert artifact.tensors["rng"].read().tolist() == checkpoint["rng"].tolist()
    assert artifact.foreign == ()


def test_the_state_of_an_optimizer_by_itself_is_all_optimizer(tmp_path, opened):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "a.pt")
    tensors = opened(tmp_path / "a.pt").tensors
    assert {name: ref.role for name, ref in tensors.items()} == {"state.0.momentum_buffer": "optimizer"}


def sparse():
    dense = torch.tensor([[0.0, 1, 0, 2], [3, 0, 0, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some layouts are new
        return {
            "coo": (dense.to_sparse(), {"indices": "indices", "values": "values"}),
            "csr": (
                dense.to_sparse_csr(),
                {"crow_indices": "crow_indices", "col_indices": "col_indices", "values": "values"},
            ),
            "csc": (
                dense.to_sparse_csc(),
                {"ccol_indices": "ccol_indices", "row_indices": "row_indices", "values": "values"},
            ),
            "bsr": (
                dense.to_sparse_bsr((2, 2)),
                {"crow_indices": "crow_indices", "col_indices": "col_indices", "values": "values"},
            ),
        }


@pytest.mark.parametrize("name", sparse())
def test_sparse_tensors_are_their_parts(tmp_path, opened, name):
    tensor, parts = sparse()[name]
    torch.save({"w": tensor}, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    assert set(artifact.tensors) == {f"w.{part}" for part in parts}
    for part, method in parts.items():
        assert_same(artifact.tensors[f"w.{part}"], getattr(tensor, method)())
    assert artifact.tree["w"]["layout"] == str(tensor.layout)
    assert artifact.tree["w"]["shape"] == [2, 4]


def test_nested_tensors_are_their_parts(tmp_path, opened):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are a prototype
        tensor = torch.nested.nested_tensor([torch.ones(2), torch.arange(3.0)])
        torch.save({"w": tensor}, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    assert_same(artifact.tensors["w.values"], torch.tensor([1.0, 1, 0, 1, 2]))
    assert_same(artifact.tensors["w.sizes"], torch.tensor([[2], [3]]))


def test_jagged_tensors_show_what_they_are_made_of(tmp_path, opened):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = torch.nested.nested_tensor([torch.ones(2), torch.arange(3.0)], layout=torch.jagged)
        torch.save({"w": tensor}, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    found = [ref.read().tolist() for ref in artifact.tensors.values() if ref.numel == 5]
    assert found
    assert all(values == [1, 1, 0, 1, 2] for values in found)
    assert artifact.foreign == ()


def test_a_tensor_without_elements_on_the_meta_device_is_in_the_tree(tmp_path, opened):
    torch.save({"w": torch.empty(3, 4, device="meta"), "v": torch.ones(1)}, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    assert list(artifact.tensors) == ["v"]
    assert artifact.tree == {"w": {"layout": "meta", "dtype": "float32", "shape": [3, 4]}}


def test_subclasses_keep_their_class_and_what_they_hold(tmp_path, opened):
    tensor = torch.arange(3.0).as_subclass(Sub)
    tensor.note, tensor.scale = "x", torch.tensor([2.0])
    torch.save(
        {"w": tensor, "p": torch.nn.Parameter(torch.ones(2)), "b": torch.nn.Buffer(torch.zeros(2))}, tmp_path / "a.pt"
    )
    artifact = opened(tmp_path / "a.pt")
    assert artifact.tensors["w"].read().tolist() == [0, 1, 2]
    assert artifact.tensors["w.scale"].read().tolist() == [2]
    assert artifact.tree["__subclasses__"]["w"].endswith(".Sub")
    assert artifact.tree["__attributes__"]["w"] == {"note": "x"}
    assert artifact.tensors["p"].read().tolist() == [1, 1]


def test_numpy_arrays_in_a_checkpoint_are_tensors_too(tmp_path, opened):
    arrays = {
        "big": np.arange(4, dtype=">f4"),
        "turned": np.arange(6.0).reshape(2, 3, order="F"),
        "long": np.arange(5000),
    }
    torch.save({"arrays": arrays, "number": np.float32(1.5), "w": torch.ones(1)}, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    for name, array in arrays.items():
        assert artifact.tensors[f"arrays.{name}"].read().tolist() == array.tolist()
    assert artifact.tree == {"number": 1.5}
    assert artifact.foreign == ()


def test_types_devices_and_sizes_are_text_and_numbers(tmp_path, opened):
    value = {
        "dtype": torch.bfloat16,
        "device": torch.device("cuda", 1),
        "size": torch.Size([2, 3]),
        "cls": torch.nn.Linear,
    }
    torch.save(value, tmp_path / "a.pt")
    assert opened(tmp_path / "a.pt").tree == {
        "dtype": "torch.bfloat16",
        "device": "cuda:1",
        "size": [2, 3],
        "cls": "torch.nn.modules.linear.Linear",
    }


def test_versions_of_modules_that_say_more_than_a_number_are_kept(tmp_path, opened):
    state = torch.nn.Linear(1, 1).state_dict()
    state._metadata[""]["note"] = "mine"
    torch.save({"model": state}, tmp_path / "a.pt")
    assert opened(tmp_path / "a.pt").tree == {
        "model": {"__state__": {"_metadata": {"": {"version": 1, "note": "mine"}}}}
    }


def test_a_whole_optimizer_is_its_state_beside_the_parameters_it_is_for(tmp_path, opened):
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save(optimizer, tmp_path / "a.pt")
    artifact = opened(tmp_path / "a.pt")
    for number, parameter in enumerate(layer.parameters()):
        assert_same(artifact.tensors[f"state.{number}.__key__"], parameter.detach())
        assert artifact.tensors[f"state.{number}.__key__"].role == "weights"
        assert_same(artifact.tensors[f"state.{number}.exp_avg"], optimizer.state[parameter]["exp_avg"])
        assert artifact.tensors[f"state.{number}.exp_avg"].role == "optimizer"
    assert artifact.foreign == ()


def test_what_a_module_keeps_beside_its_parameters_under_one_name_is_there_too(tmp_path, opened):
    layer = torch.nn.Linear(1, 2)
    layer._flat_weights = [torch.full((2,), 7.0)]  # others than its parameters
    layer.__dict__["bias"] = torch.full((3,), 8.0)  # hides the parameter
    torch.save(layer, tmp_path / "a.pt")
    found = opened(tmp_path / "a.pt").tensors
    assert_same(found["_flat_weights.0"], torch.full((2,), 7.0))
    assert_same(found["bias"], layer._parameters["bias"].detach())
    assert_same(found["bias (attribute)"], torch.full((3,), 8.0))


def test_what_a_state_dict_keeps_beside_its_versions_is_in_the_tree(tmp_path, opened):
    state = torch.nn.Linear(2, 2).state_dict()
    torch.save(state, tmp_path / "a.pt")
    assert opened(tmp_path / "a.pt").tree == {}
    state.note = "kept"
    torch.save(state, tmp_path / "a.pt")
    assert opened(tmp_path / "a.pt").tree["__state__"]["note"] == "kept"


def test_bytes_behind_the_pickle_of_a_checkpoint_are_told(tmp_path, opened):
    path = tmp_path / "a.pt"
    torch.save({"w": torch.ones(2)}, path)
    assert opened(path).not_readable == ()
    zipped_again(path, change=lambda name, data: data + b"more" if name.endswith("data.pkl") else data)
    assert [(one.where, one.reason) for one in opened(path).not_readable] == [("data.pkl", "4 bytes follow the pickle")]
