"""The test kit for plugin authors."""

from __future__ import annotations
