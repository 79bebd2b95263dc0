"""Constants that are texts: a count, an offset for each text and for the end, and the texts."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from diffai_core.plugin import shown

if TYPE_CHECKING:
    from diffai_load_tflite.model import Tensor


def read_strings(tensor: Tensor) -> dict[str, Any]:
    """Return shape and texts of a constant; those that are no UTF-8 as bytes.

    Raises:
        LoadError: If a text lies outside of its buffer, or there are more or fewer than the shape needs.
    """
    assert tensor.data is not None
    buffer = tensor.table.buffer
    start, length = tensor.data
    raw = buffer.take(start, length)
    count = struct.unpack_from("<i", raw)[0] if length >= 4 else -1  # noqa: PLR2004 - bytes of the count
    if not 0 <= count <= length // 4 - 2:
        raise buffer.error(f"tensor {shown(tensor.name)} has {count:,} texts in {length:,} bytes", start)
    needed = 1
    for dimension in tensor.shape:
        needed *= dimension
    if needed != count:
        raise buffer.error(f"tensor {shown(tensor.name)} has {count:,} texts for the shape {list(tensor.shape)}", start)
    offsets = struct.unpack_from(f"<{count + 1}i", raw, 4)
    places = [4 * (count + 2), *offsets, length]
    if places[0] != offsets[0] or places != sorted(places):
        raise buffer.error(f"the texts of tensor {shown(tensor.name)} do not follow each other", start)
    texts = [_text(raw[begin:end]) for begin, end in pairwise(offsets)]
    return {"shape": list(tensor.shape), "values": texts}


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
