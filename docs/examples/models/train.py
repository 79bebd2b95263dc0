"""Train the example pair: a small character transformer, and a fine-tune of its upper half.

The base model learns sums written in words ("forty two plus nine is fifty one."), the fine-tune learns differences
("forty two minus nine is thirty three.") with the embeddings and the lower two of four blocks frozen and a tenth of
the learning rate. Both are scored on held-out problems. Needs torch and safetensors; takes under two minutes on one CPU
core and gives the same weights each time (on the same kind of processor and version of torch).

    python docs/examples/models/train.py
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import struct
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

FOLDER = Path(__file__).parent
SEED = 20240229
CONFIG = {
    "model_type": "char-transformer",
    "vocab": " .abcdefghijklmnopqrstuvwxyz",
    "hidden_size": 32,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 56,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(number: int) -> str:
    """Spell a number below 200."""
    if number < 20:
        return UNITS[number]
    if number < 100:
        unit = f" {UNITS[number % 10]}" if number % 10 else ""
        return TENS[number // 10 - 2] + unit
    return "one hundred" + (f" {in_words(number - 100)}" if number > 100 else "")


def sums() -> list[str]:
    """Every sum of two numbers below sixty."""
    return [f"{in_words(a)} plus {in_words(b)} is {in_words(a + b)}." for a in range(60) for b in range(60)]


def differences() -> list[str]:
    """Every difference of numbers below a hundred that is not negative."""
    return [f"{in_words(a)} minus {in_words(b)} is {in_words(a - b)}." for a in range(100) for b in range(a + 1)]


class Block(nn.Module):
    """Pre-norm attention and a two-layer perceptron."""

    def __init__(self) -> None:
        super().__init__()
        size, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.input_layernorm = nn.LayerNorm(size)
        self.self_attn = nn.ModuleDict({f"{name}_proj": nn.Linear(size, size, bias=False) for name in "qkvo"})
        self.post_attention_layernorm = nn.LayerNorm(size)
        self.mlp = nn.ModuleDict({"up_proj": nn.Linear(size, inner), "down_proj": nn.Linear(inner, size)})

    def forward(self, hidden: Tensor) -> Tensor:
        """Map ``(batch, length, size)`` to the same shape."""
        normed = self.input_layernorm(hidden)
        heads = (*normed.shape[:2], CONFIG["num_attention_heads"], -1)
        query, key, value = (self.self_attn[f"{name}_proj"](normed).view(heads).transpose(1, 2) for name in "qkv")
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.self_attn["o_proj"](mixed.transpose(1, 2).flatten(2))
        inner = functional.gelu(self.mlp["up_proj"](self.post_attention_layernorm(hidden)))
        return hidden + self.mlp["down_proj"](inner)


class CharTransformer(nn.Module):
    """A causal language model over the characters of ``CONFIG["vocab"]``."""

    def __init__(self) -> None:
        super().__init__()
        size, vocab = CONFIG["hidden_size"], len(CONFIG["vocab"])
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(vocab, size),
                "embed_positions": nn.Embedding(CONFIG["max_position_embeddings"], size),
                "layers": nn.ModuleList(Block() for _ in range(CONFIG["num_hidden_layers"])),
                "norm": nn.LayerNorm(size),
            }
        )
        self.lm_head = nn.Linear(size, vocab, bias=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Map codes ``(batch, length)`` to logits ``(batch, length, vocab)``."""
        hidden = self.model["embed_tokens"](codes) + self.model["embed_positions"](torch.arange(codes.shape[1]))
        for block in self.model["layers"]:
            hidden = block(hidden)
        return self.lm_head(self.model["norm"](hidden))


def encode(lines: list[str]) -> Tensor:
    """Encode lines as codes ``(n_lines, length)``, filled up with spaces."""
    width = CONFIG["max_position_embeddings"]
    longest = max(map(len, lines))
    if longest > width:
        raise ValueError(f"a line has {longest} characters, more than {width}")
    return torch.tensor([[CONFIG["vocab"].index(char) for char in line.ljust(width)] for line in lines])


def loss_of(model: nn.Module, codes: Tensor) -> Tensor:
    """Mean cross-entropy in nats per character, the fill counted only once after the full stop."""
    logits, targets = model(codes[:, :-1]), codes[:, 1:]
    text = (targets != 0) | (codes[:, :-1] != 0)
    return functional.cross_entropy(logits[text], targets[text])


def train(model: nn.Module, lines: list[str], steps: int, peak_lr: float, batch: int = 64) -> dict[str, str]:
    """Train with AdamW on nine tenths of the lines; return what the metadata should tell."""
    random.Random(SEED).shuffle(lines)
    held_out, codes = encode(lines[: len(lines) // 10]), encode(lines[len(lines) // 10 :])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=peak_lr, weight_decay=0.01)
    warmup = max(steps // 20, 1)
    generator = torch.Generator().manual_seed(SEED)
    before = evaluate(model, held_out)
    losses: list[float] = []
    rate = 0.0
    for step in range(steps):
        rate = peak_lr * min((step + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = loss_of(model, codes[torch.randint(len(codes), (batch,), generator=generator)])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return {
        "step": str(steps),
        "train_loss": f"{sum(losses[-50:]) / len(losses[-50:]):.4f}",
        "val_loss": f"{evaluate(model, held_out):.4f}",
        "val_loss_before": f"{before:.4f}",
        "learning_rate": f"{rate:.3e}",
        "peak_learning_rate": str(peak_lr),
        "optimizer": "AdamW",
        "weight_decay": "0.01",
        "batch_size": str(batch),
        "train_lines": str(len(codes)),
        "val_lines": str(len(held_out)),
        "seed": str(SEED),
    }


@torch.no_grad()
def evaluate(model: nn.Module, codes: Tensor) -> float:
    """Loss on held-out lines."""
    return loss_of(model, codes).item()


def save(model: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file whose bytes depend on nothing but the weights and the metadata.

    The library's own ``save_file`` writes the metadata in a random order.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    payload = b""
    for name, tensor in sorted(model.state_dict().items()):
        data = tensor.contiguous().numpy().tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(payload), len(payload) + len(data)],
        }
        payload += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
    print(f"{path.name}: {path.stat().st_size:,} bytes, {metadata}")


def main() -> None:
    """Train and save both models and their common config."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = CharTransformer()
    base = train(model, sums(), steps=1200, peak_lr=3e-3)
    save(model, FOLDER / "base.safetensors", {"task": "sums in words", **base})
    for module in (model.model["embed_tokens"], model.model["embed_positions"], *model.model["layers"][:2]):
        module.requires_grad_(False)
    tuned = train(model, differences(), steps=250, peak_lr=3e-4)
    parent = hashlib.sha256((FOLDER / "base.safetensors").read_bytes()).hexdigest()
    facts = {"task": "differences in words", "base_model_sha256": parent, "frozen": "embeddings, layers.0, layers.1"}
    save(model, FOLDER / "finetuned.safetensors", {**facts, **tuned})
    (FOLDER / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
