"""Strict, bounded reading of JSON for loaders."""

from __future__ import annotations

from diffai_lib_json.parse import parse_json

__all__ = ["parse_json"]
