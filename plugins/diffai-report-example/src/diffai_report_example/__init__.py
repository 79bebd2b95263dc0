"""A diffai plugin that writes a report as CSV."""

from __future__ import annotations
