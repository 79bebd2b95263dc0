"""Small models of torch whose work torch itself counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from diffai_core.testing import artifact


class Attention(nn.Module):
    def __init__(self, width, n_heads, n_kv_heads, head_dim):
        super().__init__()
        self.shape = n_heads, n_kv_heads, head_dim
        self.q_proj = nn.Linear(width, n_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(width, n_kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(width, n_kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(n_heads * head_dim, width, bias=False)

    def forward(self, x):
        n_heads, n_kv_heads, head_dim = self.shape
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, n_heads, head_dim).transpose(1, 2)
        k, v = (
            proj(x)
            .view(batch, length, n_kv_heads, head_dim)
            .transpose(1, 2)
            .repeat_interleave(n_heads // n_kv_heads, 1)
            for proj in (self.k_proj, self.v_proj)
        )
        weights = torch.softmax(q @ k.transpose(2, 3), -1)
        return self.o_proj((weights @ v).transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        return self.down_proj(torch.nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, width, *heads):
        super().__init__()
        self.input_layernorm = nn.LayerNorm(width)
        self.self_attn = Attention(width, *heads)
        self.post_attention_layernorm = nn.LayerNorm(width)
        self.mlp = Mlp(width, 3 * width)

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """A decoder as Hugging Face names its tensors."""

    def __init__(self, width=32, n_layers=3, n_heads=4, n_kv_heads=2, head_dim=8, vocabulary=97, tied=False):
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(vocabulary, width)
        self.model.layers = nn.ModuleList(Block(width, n_heads, n_kv_heads, head_dim) for _ in range(n_layers))
        self.model.norm = nn.LayerNorm(width)
        self.tied = tied
        if not tied:
            self.lm_head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.model.embed_tokens(tokens)
        for block in self.model.layers:
            x = block(x)
        x = self.model.norm(x)
        return x @ self.model.embed_tokens.weight.T if self.tied else self.lm_head(x)


class Cnn(nn.Module):
    def __init__(self, channels=8, groups=1):
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, 16, 5, dilation=2, groups=groups)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = self.up(self.pool(torch.relu(self.conv2(x))))
        return self.fc(x.mean((2, 3)))


def flops(model, *inputs):
    """Return the FLOPs of a run as torch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops()


def arrays(model, dtype=np.float32):
    return {name: tensor.detach().numpy().astype(dtype) for name, tensor in model.state_dict().items()}


def checkpoint(model, tree=None, dtype=np.float32):
    return artifact(arrays(model, dtype), tree)


def exported(model, inputs, path, *, infer=False, **settings):
    """Write a model as ONNX, with the shapes that onnx infers if wanted, and open it; return the artefact."""
    import warnings

    import onnx
    from diffai_load_onnx.plugin import diffai_loaders

    from diffai_core.files import Source
    from diffai_core.lazy import resolve

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), inputs, str(path), dynamo=False, **settings)
    if infer:
        onnx.save(onnx.shape_inference.infer_shapes(onnx.load(str(path)), data_prop=True), str(path))
    (spec,) = diffai_loaders()
    options = {option.name.replace("-", "_"): option.default for option in spec.options}
    return resolve(spec.target, "tests")(Source(str(path)), options)
