"""Where heads look: the first layer by its positions, and the frequencies of those that rotate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

STEM = "model.layers.{}.self_attn.{}_proj.weight"
ROTARY = {"config": {"num_attention_heads": 4, "model_type": "llama", "rope_theta": 10000.0}}


def _learned(make_layers, offset):
    """Return a first layer whose heads look ``offset`` tokens away: positions on circles, keys turned by as much."""
    tensors = make_layers(n_layers=1, bias=False)
    angles = np.arange(64)[:, None] * 2 * np.pi * np.array([1, 3, 5, 7, 11, 13, 17, 19]) / 64
    table = np.zeros((64, 32))
    table[:, :8], table[:, 8:16] = np.cos(angles), np.sin(angles)
    turn = -offset * 2 * np.pi * np.array([1, 3, 5, 7, 11, 13, 17, 19]) / 64
    for head in range(4):
        for pair in range(4):
            rows = 8 * head + 2 * pair
            q, k = tensors[STEM.format(0, "q")], tensors[STEM.format(0, "k")]
            q[rows : rows + 2] = k[rows : rows + 2] = 0
            q[rows, pair] = q[rows + 1, 8 + pair] = 3
            k[rows, pair], k[rows, 8 + pair] = 3 * np.cos(turn[pair]), 3 * np.sin(turn[pair])
            k[rows + 1, pair], k[rows + 1, 8 + pair] = -3 * np.sin(turn[pair]), 3 * np.cos(turn[pair])
    return tensors | {"model.wpe.weight": table.astype(np.float32)}


def test_heads_of_the_first_layer_look_where_they_were_made_to_look(analyse, make_layers):
    tree = {"config": {"num_attention_heads": 4, "architectures": ["GPT2LMHeadModel"]}}
    found = analyse(_learned(make_layers, 1), _learned(make_layers, 3), "attention-pattern-diff", tree)
    assert {row["offset_old"] for row in found.values["first_layer"]} == {-1}
    assert {row["offset"] for row in found.values["first_layer"]} == {-3}
    q, k, table = (
        torch.from_numpy(_learned(make_layers, 3)[name]).double()
        for name in (STEM.format(0, "q"), STEM.format(0, "k"), "model.wpe.weight")
    )
    scores = (table @ q[:8].T) @ (table @ k[:8].T).T / 8**0.5
    weights = torch.softmax(scores.masked_fill(torch.ones(64, 64).triu(1).bool(), -torch.inf), dim=-1)
    far = (torch.arange(64)[:, None] - torch.arange(64)[None]).abs()
    assert found.values["first_layer"][0]["span"] == pytest.approx(float((weights * far).sum() / 64))
    assert found.values["span_change"] > 0.5
    assert 0.5 < found.values["first_layer"][0]["profile_distance"] <= 1


class _Toy(torch.nn.Module):
    """A first layer as GPT-2 has it; gives the attention of all heads."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.wte, self.wpe = torch.nn.Embedding(50, 32), torch.nn.Embedding(24, 32)
        self.ln_1 = torch.nn.LayerNorm(32)
        self.q, self.k, self.v, self.o = (torch.nn.Linear(32, 32) for _ in range(4))
        self.double()
        for parameter in (self.wte.weight, self.wpe.weight):
            torch.nn.init.normal_(parameter, std=0.1)
        for layer in (self.q, self.k):
            torch.nn.init.normal_(layer.weight, std=0.25)
        torch.nn.init.uniform_(self.ln_1.weight, 0.5, 1.5)
        torch.nn.init.normal_(self.ln_1.bias, std=0.2)

    def forward(self, tokens):
        inputs = self.ln_1(self.wte(tokens) + self.wpe(torch.arange(24)))
        q, k = (layer(inputs).unflatten(-1, (4, 8)).transpose(1, 2) for layer in (self.q, self.k))
        scores = (q @ k.transpose(-1, -2) / 8**0.5).masked_fill(torch.ones(24, 24).triu(1).bool(), -torch.inf)
        return scores.softmax(-1)

    def tensors(self):
        stem = "transformer.h.0."
        names = {"q": "attn.q_proj", "k": "attn.k_proj", "v": "attn.v_proj", "o": "attn.out_proj", "ln_1": "ln_1"}
        found = {
            f"{stem}{name}.{part}": getattr(getattr(self, own), part).detach().numpy()
            for own, name in names.items()
            for part in ("weight", "bias")
        }
        tables = {f"transformer.{name}.weight": getattr(self, name).weight.detach().numpy() for name in ("wte", "wpe")}
        return found | tables


def test_the_spans_of_the_first_layer_are_those_of_its_attention_on_random_tokens(analyse):
    toy = _Toy()
    tokens = torch.randint(0, 50, (400, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        weights = toy(tokens).mean(0)
    far = (torch.arange(24)[:, None] - torch.arange(24)[None]).abs()
    tree = {"config": {"num_attention_heads": 4, "architectures": ["GPT2LMHeadModel"]}}
    found = analyse(toy.tensors(), toy.tensors(), "attention-pattern-diff", tree).values
    spans = [row["span"] for row in found["first_layer"]]
    assert spans == pytest.approx([(weights[head] * far).sum().item() / 24 for head in range(4)], rel=0.05)
    flat = {name: array * (0.01 if name.endswith("ln_1.weight") else 1) for name, array in toy.tensors().items()}
    changed = analyse(toy.tensors(), flat, "attention-pattern-diff", tree).values
    assert changed["span_change"] is not None
    assert [row["span"] for row in changed["first_layer"]] != pytest.approx(spans, rel=0.01)


def test_without_learned_positions_the_span_is_not_told(analyse, make_layers):
    found = analyse(make_layers(1), make_layers(2), "attention-pattern-diff", ROTARY)
    assert found.values["span_change"] is None
    assert found.values["first_layer"] == []
    assert "learned table of positions (rotary here)" in found.message


def test_the_faster_half_of_the_frequencies_is_where_a_head_looks_nearby(analyse, make_layers):
    old = make_layers(n_layers=1)
    new = {name: array.copy() for name, array in old.items()}
    for head in range(4):
        new[STEM.format(0, "q")][8 * head + 2 : 8 * head + 4] = 0  # the slower pairs: 2 and 3, and their other halves
        new[STEM.format(0, "q")][8 * head + 6 : 8 * head + 8] = 0
    values = analyse(old, new, tree=ROTARY).values
    assert {head["high_frequency_share"] for head in values["heads"]} == {1.0}
    assert 0.2 < values["focus_shift"] < 0.8
