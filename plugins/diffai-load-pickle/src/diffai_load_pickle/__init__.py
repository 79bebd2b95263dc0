"""Opens pickles for diffai without running anything that is in them."""

from __future__ import annotations
