"""Opens NumPy's ``.npy`` and ``.npz`` files lazily, without NumPy's own reader and without pickle."""

from __future__ import annotations
