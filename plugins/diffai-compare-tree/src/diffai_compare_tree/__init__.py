"""Compares the trees of two artefacts: configuration and metadata."""

from __future__ import annotations
