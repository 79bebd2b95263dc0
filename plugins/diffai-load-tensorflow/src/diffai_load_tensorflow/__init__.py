"""diffai plugin: opens TensorFlow checkpoints, SavedModels and frozen graphs."""

from __future__ import annotations
