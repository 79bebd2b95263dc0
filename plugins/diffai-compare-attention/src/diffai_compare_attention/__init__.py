"""Compare attention heads by their circuits."""

from __future__ import annotations
