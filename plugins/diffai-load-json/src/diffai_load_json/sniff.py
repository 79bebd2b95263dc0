"""Recognises JSON by its first bytes."""

from __future__ import annotations

import re

from diffai_core.plugin import split_bom

# An object, or an array whose first element is whole and followed by what follows an element. That leaves out the
# section headers of INI and TOML and the flow collections of YAML that quote no keys.
_START = re.compile(
    r"""\s*+(?:\{\s*(?:"|\})
        | (?:\[\s*+)+(?:\{\s*(?:"|\}) | \] | "(?:[^"\\]++|\\.)*+(?:"\s*,|\Z)
        | (?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|NaN|-?Infinity)\s*[,\]]))""",
    re.VERBOSE,
)


def looks_like_json(head: bytes, size: int) -> bool:
    """Whether a file is a JSON object or array, and not the index of a sharded checkpoint.

    A file that fits into ``head`` is parsed; of a larger one the beginning decides.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    if b'"weight_map"' in head:
        return False
    encoding, n_bom = split_bom(head)
    text = head[n_bom:].decode(encoding, "ignore")
    if not text.lstrip(" \t\r\n").startswith(("{", "[")):
        return False
    return _is_json(text) if len(head) >= size else _START.match(text) is not None


def _is_json(text: str) -> bool:
    import json

    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
