"""Finds what is wrong with a model."""

from __future__ import annotations
