"""Findings, conclusions and charts of a comparison, for a report that people read."""

from __future__ import annotations

__version__ = "0.1.0"
