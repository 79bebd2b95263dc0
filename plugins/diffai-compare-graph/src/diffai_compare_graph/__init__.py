"""diffai plugin: compares the graphs of two models."""

from __future__ import annotations
