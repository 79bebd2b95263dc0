"""What quantisation and casts cost, and whether they explain a change."""

from __future__ import annotations

__version__ = "0.1.0"
