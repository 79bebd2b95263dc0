"""Opens YAML files for diffai."""

from __future__ import annotations
