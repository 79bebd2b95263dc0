"""Changes that came of real training get their name."""

from __future__ import annotations

import numpy as np
import pytest
from planted_models import BF16, named


def cast(tensors, dtype):
    return {key: value.astype(dtype) for key, value in tensors.items()}


@pytest.fixture(scope="module")
def network():
    """Return a small trained network, its data, and a function that trains it on."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs = torch.randn(1024, 64)
    labels = [(inputs @ torch.randn(64, 10)).argmax(1) for _ in range(2)]

    def train(model, target, steps, rate=1e-3):
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
        for step in range(steps):
            some = torch.arange(128) + 128 * (step % 8)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[some]), labels[target][some]).backward()
            optimizer.step()
        return {key: value.detach().numpy().copy() for key, value in model.state_dict().items()}

    sizes = [(64, 128), (128, 128), (128, 128), (128, 10)]
    layers = [layer for size in sizes for layer in (torch.nn.Linear(*size), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    return model, train, train(model, 0, 60)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, BF16])
def test_real_training_of_all_weights_is_a_full_fine_tune(network, dtype):
    from copy import deepcopy

    model, train, base = network
    finding = named(cast(base, dtype), cast(train(deepcopy(model), 1, 20, 1e-4), dtype))
    assert finding.values["change"] == "full_fine_tune"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, BF16])
@pytest.mark.parametrize("rank", [1, 4])
def test_a_really_trained_lora_that_was_merged_is_told_with_its_rank(network, rank, dtype):
    torch = pytest.importorskip("torch")
    from copy import deepcopy

    class Adapted(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer.requires_grad_(requires_grad=False)
            self.down = torch.nn.Parameter(0.1 * torch.randn(rank, layer.in_features))
            self.up = torch.nn.Parameter(torch.zeros(layer.out_features, rank))

        def forward(self, x):
            return self.layer(x) + (x @ self.down.T) @ self.up.T

    original, train, base = network
    torch.manual_seed(rank)
    model = deepcopy(original).requires_grad_(requires_grad=False)
    for place in (0, 2, 4):
        model[place] = Adapted(model[place])
    train(model, 1, 60, 3e-3)
    old = cast(base, dtype)
    new = dict(old)
    for place in (0, 2, 4):
        delta = (model[place].up @ model[place].down).detach().numpy()
        new[f"{place}.weight"] = (old[f"{place}.weight"].astype(np.float32) + delta).astype(dtype)
    finding = named(old, new)
    assert (finding.values["change"], finding.values.get("rank")) == ("low_rank", rank)
