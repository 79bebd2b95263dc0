"""A small residual network and the task it learns: which of four shapes is drawn in a noisy image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE = 12
CLASSES = ("bar", "pole", "frame", "cross")


class ResidualBlock(nn.Module):
    """Two convolutions and a way around them, named as in torchvision."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(batch, width, side, side)`` to the same shape."""
        inner = functional.relu(self.bn1(self.conv1(image)))
        return functional.relu(image + self.bn2(self.conv2(inner)))


class ResidualNet(nn.Module):
    """A stem, ``depth`` residual blocks and a linear classifier."""

    def __init__(self, depth: int, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        self.fc = nn.Linear(width, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        """Map ``(batch, 1, side, side)`` to logits ``(batch, classes)``."""
        hidden = functional.relu(self.bn1(self.conv1(image)))
        return self.fc(self.layer1(hidden).mean(dim=(2, 3)))


def shape_batches(n_batches: int, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images ``(size, 1, side, side)`` and their classes ``(size,)``."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_batches):
        classes = torch.randint(len(CLASSES), (size,), generator=generator)
        corners = torch.randint(0, SIDE // 2, (size, 2), generator=generator)
        images = 0.4 * torch.randn(size, 1, SIDE, SIDE, generator=generator)
        for image, shape, (top, left) in zip(images, classes.tolist(), corners.tolist(), strict=True):
            image[0] += drawn(shape, top, left)
        yield images, classes


def drawn(shape: int, top: int, left: int, length: int = 6) -> Tensor:
    """Draw one shape in a square of ``length`` points on an empty image."""
    image = torch.zeros(SIDE, SIDE)
    square = image[top : top + length, left : left + length]
    middle = length // 2
    if CLASSES[shape] in {"bar", "cross"}:
        square[middle] = 1.0
    if CLASSES[shape] in {"pole", "cross"}:
        square[:, middle] = 1.0
    if CLASSES[shape] == "frame":
        square[0] = square[-1] = 1.0
        square[:, 0] = square[:, -1] = 1.0
    return image


def shape_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, float]:
    """Return the mean cross-entropy in nats and the accuracy."""
    images, classes = batch
    logits = model(images)
    return functional.cross_entropy(logits, classes), (logits.argmax(1) == classes).float().mean().item()
