"""Settings and learning rates of trainings."""

from __future__ import annotations
