"""Compare the tensors of two checkpoints."""

from __future__ import annotations
