"""Opens JSON files for diffai."""

from __future__ import annotations
