"""JSON reports for diffai; :func:`document` and :func:`results` give the same data to other reporters."""

from __future__ import annotations

from diffai_report_json.document import Rows, document
from diffai_report_json.plain import plain
from diffai_report_json.results import results

__version__ = "0.1.0"
__all__ = ["Rows", "__version__", "document", "plain", "results"]
