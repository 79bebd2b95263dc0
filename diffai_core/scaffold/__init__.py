"""Write the start of a plugin: a working package with its test."""

from __future__ import annotations

from diffai_core.scaffold.writing import KINDS, next_steps, scaffold

__all__ = ["KINDS", "next_steps", "scaffold"]
