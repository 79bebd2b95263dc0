"""Zeros of weights, and why a model became smaller."""

from __future__ import annotations

__version__ = "0.1.0"
