"""What people make of a trained model: pruned, quantised, merged and damaged copies, each by a stated operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

State = dict[str, Tensor]


def is_matrix(name: str, tensor: Tensor) -> bool:
    """Whether it is a weight that such operations are applied to."""
    return tensor.ndim >= 2 and tensor.is_floating_point() and "embed" not in name


def magnitude_pruned(state: Mapping[str, Tensor], share: float) -> State:
    """Set the ``share`` of smallest elements of every matrix to zero."""
    pruned = {name: tensor.clone() for name, tensor in state.items()}
    for name, tensor in pruned.items():
        if is_matrix(name, tensor):
            limit = tensor.abs().flatten().kthvalue(max(round(share * tensor.numel()), 1)).values
            tensor[tensor.abs() <= limit] = 0.0
    return pruned


def two_of_four(state: Mapping[str, Tensor]) -> State:
    """Keep the two largest of every four elements along the input dimension of every matrix."""
    pruned = {name: tensor.clone() for name, tensor in state.items()}
    for name, tensor in pruned.items():
        if is_matrix(name, tensor) and tensor.shape[-1] % 4 == 0:
            groups = tensor.view(-1, 4)
            groups.scatter_(1, groups.abs().topk(2, dim=1, largest=False).indices, 0.0)
    return pruned


def quantised_int8(state: Mapping[str, Tensor]) -> State:
    """Round every matrix to int8 with one scale for each row, stored beside it as ``NAME_scale``."""
    quantised: State = {}
    for name, tensor in state.items():
        if not is_matrix(name, tensor):
            quantised[name] = tensor.clone()
            continue
        rows = tensor.flatten(1)
        scale = rows.abs().amax(1, keepdim=True) / 127
        quantised[name] = (rows / scale).round().clamp(-127, 127).to(torch.int8).view_as(tensor)
        quantised[f"{name}_scale"] = scale
    return quantised


def dequantised(state: Mapping[str, Tensor]) -> State:
    """Undo :func:`quantised_int8` up to its rounding: the float weights that stand for the codes."""
    return {
        name: tensor.float() * state[f"{name}_scale"].view(-1, *[1] * (tensor.ndim - 1))
        if f"{name}_scale" in state
        else tensor
        for name, tensor in state.items()
        if not name.endswith("_scale")
    }


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trained product of rank ``rank``."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(…, in)`` to ``(…, out)``."""
        return self.base(hidden) + functional.linear(functional.linear(hidden, self.lora_a), self.lora_b)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return one linear layer that does the same."""
        self.base.weight += self.lora_b @ self.lora_a
        return self.base


def merged_lora(model: nn.Module, rank: int, train: Callable[[nn.Module], object]) -> nn.Module:
    """Add LoRA to the query and value projections, train, and merge."""
    model.requires_grad_(False)
    attentions = [block.self_attn for block in model.model["layers"]]
    for attention in attentions:
        for name in ("q_proj", "v_proj"):
            attention[name] = LoraLinear(attention[name], rank)
    train(model)
    for attention in attentions:
        for name in ("q_proj", "v_proj"):
            attention[name] = attention[name].merged()
    return model


def flip_bits(state: Mapping[str, Tensor], name: str, places: tuple[int, ...], bit: int) -> State:
    """Flip one bit of the float32 elements at ``places`` of one tensor, as a fault of memory does."""
    damaged = {key: tensor.clone() for key, tensor in state.items()}
    words = damaged[name].flatten().view(torch.int32)
    for place in places:
        words[place] ^= 1 << bit
    damaged[name] = words.view(torch.float32).view_as(state[name])
    return damaged
