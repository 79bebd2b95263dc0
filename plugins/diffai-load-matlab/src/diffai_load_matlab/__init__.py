"""Opens MATLAB files of every version lazily, without MATLAB or SciPy."""

from __future__ import annotations
