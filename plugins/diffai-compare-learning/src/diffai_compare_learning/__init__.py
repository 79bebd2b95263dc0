"""Says how far training moved a model, and whether it still moves."""

from __future__ import annotations
