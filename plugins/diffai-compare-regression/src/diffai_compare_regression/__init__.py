"""diffai plugin: gates, and whether anything became worse."""

from __future__ import annotations
