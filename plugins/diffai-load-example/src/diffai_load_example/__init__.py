"""A diffai plugin that opens example files."""

from __future__ import annotations
