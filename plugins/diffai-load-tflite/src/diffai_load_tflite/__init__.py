"""diffai plugin: opens TensorFlow Lite models."""

from __future__ import annotations
