"""Where in a model the change is."""

from __future__ import annotations
