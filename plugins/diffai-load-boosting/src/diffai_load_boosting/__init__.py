"""Opens gradient-boosted trees for diffai."""

from __future__ import annotations
