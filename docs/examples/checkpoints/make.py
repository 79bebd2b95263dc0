"""Train small models as people do, and write the checkpoints that the user guide's commands compare.

A character transformer learns sums written in words; a small residual network learns to tell shapes apart, in two
depths. Every epoch is saved with optimizer, scheduler, arguments and history. From the last ones come a fine-tune on
another task, a merged LoRA, pruned, quantised and cast copies, a run that diverged, and a file with flipped bits. Each
file is the result of a training or of a stated operation on its weights. Needs torch and safetensors; takes about a
minute on one core.

    python docs/examples/checkpoints/make.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "models")]

import train as words  # the transformer of the example pair, in the folder beside this one
from derived import (
    dequantised,
    flip_bits,
    magnitude_pruned,
    merged_lora,
    quantised_int8,
    two_of_four,
)
from shapes import ResidualNet, shape_batches, shape_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SEED = 7
EPOCHS = 5
STEPS = 40
BATCH = 32


class Run:
    """A training with AdamW and a cosine schedule that can be saved at any epoch and taken up again.

    Args:
        model: What is trained; its frozen parameters are left alone.
        losses: Yields the loss of each step of an epoch.
        evaluate: Returns the metrics of the model.
        lr: Peak learning rate.
        epochs: Length of the schedule.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Callable[[int], Iterator[Tensor]],
        evaluate: Callable[[], dict[str, float]],
        lr: float,
        epochs: int = EPOCHS,
    ) -> None:
        self.model, self.losses, self.evaluate = model, losses, evaluate
        self.args = {"lr": lr, "epochs": epochs, "steps_per_epoch": STEPS, "batch_size": BATCH, "seed": SEED}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=lr, betas=(0.9, 0.95), weight_decay=0.01)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, epochs * STEPS)
        self.history: list[dict[str, float]] = []
        self.epoch = self.step = 0

    def train_epoch(self) -> None:
        """Take the steps of one epoch and note its metrics."""
        self.model.train()
        total = 0.0
        for loss in self.losses(self.epoch):
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
            total += loss.item()
        self.epoch += 1
        self.model.eval()
        rate = self.optimizer.param_groups[0]["lr"]
        facts = {"epoch": self.epoch, "step": self.step, "train_loss": total / STEPS, "lr": rate}
        self.history.append({**facts, **self.evaluate()})

    def checkpoint(self) -> dict[str, Any]:
        """Return everything that is needed to go on."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
            "global_step": self.step,
            "args": self.args,
            "history": [dict(entry) for entry in self.history],
        }


def word_run(model: nn.Module, lines: list[str], lr: float, epochs: int = EPOCHS) -> Run:
    """Return a training of the transformer on nine tenths of the lines."""
    words.random.Random(SEED).shuffle(lines)
    held_out, codes = words.encode(lines[: len(lines) // 10]), words.encode(lines[len(lines) // 10 :])

    def losses(epoch: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(SEED + epoch)
        for _ in range(STEPS):
            yield words.loss_of(model, codes[torch.randint(len(codes), (BATCH,), generator=generator)])

    return Run(model, losses, lambda: {"val_loss": words.evaluate(model, held_out)}, lr, epochs)


def shape_run(model: nn.Module, lr: float, epochs: int = EPOCHS) -> Run:
    """Return a training of the residual network."""

    def losses(epoch: int) -> Iterator[Tensor]:
        for batch in shape_batches(STEPS, BATCH, SEED + epoch):
            yield shape_loss(model, batch)[0]

    @torch.no_grad()
    def evaluate() -> dict[str, float]:
        (batch,) = shape_batches(1, 400, SEED - 1)
        loss, accuracy = shape_loss(model, batch)
        return {"val_loss": loss.item(), "val_accuracy": accuracy}

    return Run(model, losses, evaluate, lr, epochs)


def save_tensors(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a state dict as safetensors."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, {"format": "pt", **(metadata or {})})


def save_folder(state: Mapping[str, Tensor], folder: Path) -> None:
    """Write a folder as on the Hugging Face Hub: config, tokenizer, weights."""
    folder.mkdir()
    config = {key: value for key, value in words.CONFIG.items() if key != "vocab"}
    config["vocab_size"] = len(words.CONFIG["vocab"])
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    vocabulary = {char: number for number, char in enumerate(words.CONFIG["vocab"])}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": " "}
    tokenizer = {"version": "1.0", "added_tokens": [], "pre_tokenizer": None, "model": model}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    save_tensors(state, folder / "model.safetensors")


def make_transformers(folder: Path) -> None:
    """Train the transformer and write its checkpoints and what people make of them."""
    torch.manual_seed(SEED)
    model = words.CharTransformer()
    run = word_run(model, words.sums(), lr=3e-3)
    for epoch in range(1, EPOCHS + 1):
        run.train_epoch()
        torch.save(run.checkpoint(), folder / f"epoch_{epoch}.pt")
        if epoch >= EPOCHS - 1:
            save_tensors(model.state_dict(), folder / f"v{epoch - EPOCHS + 2}.safetensors")
            save_folder(model.state_dict(), folder / f"v{epoch - EPOCHS + 2}")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    last = run.checkpoint()
    quantised = quantised_int8(state)
    save_tensors(quantised, folder / "int8.safetensors")
    save_tensors(dequantised(quantised), folder / "int8_as_float.safetensors")
    save_tensors({name: tensor.bfloat16() for name, tensor in state.items()}, folder / "bf16.safetensors")
    save_tensors(magnitude_pruned(state, 0.5), folder / "pruned.safetensors")
    save_tensors(two_of_four(state), folder / "two_of_four.safetensors")
    save_tensors(flip_bits(state, "model.layers.2.mlp.up_proj.weight", (5, 2021), 30), folder / "flipped.safetensors")
    save_tensors(tuned(state).state_dict(), folder / "finetuned.safetensors")
    save_tensors(merged_lora(loaded(state), 4, go_on).state_dict(), folder / "lora_merged.safetensors")
    torch.save(diverged(last), folder / "diverged.pt")
    for name, lr in (("lr_low", 3e-4), ("lr_high", 1e-2)):
        torch.manual_seed(SEED)
        other = word_run(words.CharTransformer(), words.sums(), lr=lr, epochs=2)
        other.train_epoch()
        other.train_epoch()
        torch.save(other.checkpoint(), folder / f"{name}.pt")
        save_tensors(other.model.state_dict(), folder / f"{name}.safetensors")


def loaded(state: Mapping[str, Tensor]) -> nn.Module:
    """Return a transformer with these weights."""
    model = words.CharTransformer()
    model.load_state_dict(state)
    return model


def go_on(model: nn.Module) -> None:
    """Train what is not frozen on the other task for one epoch."""
    word_run(model, words.differences(), lr=1e-3, epochs=1).train_epoch()


def tuned(state: Mapping[str, Tensor]) -> nn.Module:
    """Return the transformer fine-tuned in its last block and head."""
    model = loaded(state)
    model.requires_grad_(False)
    for part in (model.model["layers"][-1], model.model["norm"], model.lm_head):
        part.requires_grad_(True)
    go_on(model)
    return model


def diverged(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Take the training up again with a thousand times its learning rate for one epoch."""
    run = word_run(loaded(checkpoint["model"]), words.sums(), lr=3.0)
    run.history, run.epoch, run.step = checkpoint["history"], checkpoint["epoch"], checkpoint["global_step"]
    run.train_epoch()
    return run.checkpoint()


def make_networks(folder: Path) -> None:
    """Train the residual network in two depths and write its checkpoints and what people make of them."""
    for name, depth in (("shallow", 2), ("deep", 4)):
        torch.manual_seed(SEED)
        model = ResidualNet(depth)
        run = shape_run(model, lr=3e-3)
        for epoch in range(1, EPOCHS + 1):
            run.train_epoch()
            torch.save(run.checkpoint(), folder / f"{name}_epoch_{epoch}.pth")
        torch.save(model.state_dict(), folder / f"{name}.pth")
        save_tensors(model.state_dict(), folder / f"{name}.safetensors")
        torch.save(quantised_int8(model.state_dict()), folder / f"{name}_int8.pth")
        torch.save(magnitude_pruned(model.state_dict(), 0.7), folder / f"{name}_pruned.pth")
        results = {"model": name, "n_images": 400, **run.history[-1]}
        (folder / f"{name}.json").write_text(json.dumps(results, indent=2), encoding="utf-8")


def main(target: str) -> None:
    """Write everything below ``target``."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, make in (("transformer", make_transformers), ("network", make_networks)):
        folder = Path(target) / name
        folder.mkdir(parents=True)
        make(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make.py FOLDER (a new folder, into which the checkpoints are written)")
    main(sys.argv[1])
