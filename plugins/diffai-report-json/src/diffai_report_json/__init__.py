"""JSON reports for diffai; ``document.document`` and ``results.results`` give the same data to other reporters."""

from __future__ import annotations

__version__ = "0.1.0"
