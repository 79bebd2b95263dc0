"""diffai plugin: opens what PyTorch saves, without PyTorch and without running anything."""

from __future__ import annotations
