"""diffai plugin: opens safetensors files and folders of them."""

from __future__ import annotations
