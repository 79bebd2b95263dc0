"""Opens tokenizers for diffai."""

from __future__ import annotations
