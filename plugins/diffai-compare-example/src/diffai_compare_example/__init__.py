"""A diffai plugin that counts the elements whose sign flipped."""

from __future__ import annotations
