"""Gradients as the state of an optimizer remembers them."""

from __future__ import annotations
