"""Compare embeddings by their rows, their geometry and their clusters."""

from __future__ import annotations
