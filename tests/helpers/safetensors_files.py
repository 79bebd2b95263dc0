"""Writes safetensors files byte by byte, also ones that no library would write."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bool": "BOOL",
    "complex64": "C64",
    **{f"{sign}int{bits}": f"{letter}{bits}" for sign, letter in (("", "I"), ("u", "U")) for bits in (8, 16, 32, 64)},
}


def write_safetensors(path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None = None) -> Path:
    """Write arrays, or ``(dtype, shape, bytes)`` for what NumPy has no dtype, and return the path."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    payload = bytearray()
    for name, value in tensors.items():
        dtype, shape, raw = value if isinstance(value, tuple) else _stored(np.asarray(value))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(payload), len(payload) + len(raw)]}
        payload += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)
    return path


def _stored(array: np.ndarray) -> tuple[str, list[int], bytes]:
    return _NAMES[array.dtype.name], list(array.shape), array.tobytes()
