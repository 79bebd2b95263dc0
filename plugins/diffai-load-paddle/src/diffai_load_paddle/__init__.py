"""Opens PaddlePaddle models and checkpoints lazily, without PaddlePaddle."""

from __future__ import annotations
