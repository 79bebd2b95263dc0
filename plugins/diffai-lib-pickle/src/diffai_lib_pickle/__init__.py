"""Reads pickles without importing or calling anything that they name; a library for loader plugins."""

from __future__ import annotations

from diffai_lib_pickle.machine import SPAN_BYTES, Call, Limits, Rules, Unpickled, load
from diffai_lib_pickle.sources import BytesSource, FileSource, Source
from diffai_lib_pickle.values import Global, Inert, Key, Span

__all__ = [
    "SPAN_BYTES",
    "BytesSource",
    "Call",
    "FileSource",
    "Global",
    "Inert",
    "Key",
    "Limits",
    "Rules",
    "Source",
    "Span",
    "Unpickled",
    "load",
]
