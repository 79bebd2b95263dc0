"""Reads NumPy's arrays where they lie in files, without NumPy's own reader; a library for loader plugins."""

from __future__ import annotations
