"""Quantised layouts of checkpoints: GPTQ, AWQ, bitsandbytes, compressed-tensors, FP8, MXFP4, NVFP4, torchao."""

from __future__ import annotations
