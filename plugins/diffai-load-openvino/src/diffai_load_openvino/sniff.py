"""Recognises the XML of an OpenVINO IR by its first bytes."""

from __future__ import annotations

import re

_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]{0,200}\?>\s*+)?(?:<!--(?:(?!-->).)*+-->\s*+)*+<net\s([^>]*+)>", re.DOTALL
)
_VERSION = re.compile(rb"""\bversion\s*=\s*["'][0-9]+["']""")
_LAYERS = re.compile(rb"<layers[\s>/]")


def looks_like_openvino(head: bytes, size: int) -> bool:  # noqa: ARG001 - every loader's signature
    """Whether the file that begins with ``head`` is an OpenVINO IR of any version.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    found = _START.match(head)
    return bool(found and _VERSION.search(found[1]) and _LAYERS.search(head, found.end()))
