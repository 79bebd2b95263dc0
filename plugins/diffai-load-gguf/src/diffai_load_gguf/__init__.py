"""diffai plugin: opens GGUF files and folders of their parts."""

from __future__ import annotations
