"""diffai plugin: the memory, work and time that two models need."""

from __future__ import annotations
