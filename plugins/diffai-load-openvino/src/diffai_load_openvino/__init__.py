"""Opens OpenVINO IR models lazily, without OpenVINO."""

from __future__ import annotations
