"""diffai plugin: opens ONNX models."""

from __future__ import annotations
