"""Pytest markers of the test kit."""

from __future__ import annotations
