"""Finds out how the model in a folder says that it is quantised."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import LoadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Source

MAX_CONFIG_BYTES = 1 << 22
_PLACES = (
    ("config.json", "quantization_config"),
    ("config.json", "compression_config"),
    ("config.json", "quantization"),
    ("quantize_config.json", ""),
    ("quant_config.json", ""),
)
"""Files, and keys in them, in which GPTQ, AWQ, MLX and others say what they did; an empty key means the whole file."""


def read_config(folder: Source) -> Mapping[str, Any] | None:
    """Return how the model in a folder is quantised, if a file beside it says so.

    A file that is damaged says nothing here; who compares it finds out.

    Args:
        folder: The folder of the model.
    """
    documents: dict[str, Any] = {}
    for name, key in _PLACES:
        if name not in documents:
            documents[name] = _document(folder, name)
        found = documents[name].get(key) if key else documents[name]
        if found and isinstance(found, dict):
            return found
    return None


def _document(folder: Source, name: str) -> dict[str, Any]:
    try:
        with folder.child(name).open() as file:
            raw = file.read(0, min(file.size, MAX_CONFIG_BYTES))
        document = json.loads(raw)
    except (LoadError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
