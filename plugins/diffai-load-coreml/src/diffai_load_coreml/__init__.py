"""Opens Core ML models lazily, without Core ML and coremltools."""

from __future__ import annotations
