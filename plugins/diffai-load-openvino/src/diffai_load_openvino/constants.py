"""Constants of an IR: checked against the size of the file that holds their bytes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from diffai_core.plugin import FileTensor, LoadError, dtype, opaque_dtype
from diffai_load_openvino.markup import whole_number
from diffai_load_openvino.precisions import CODED, STORED, STRING, bits_of

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile
    from diffai_load_openvino.document import Layer

_MAX_DIMENSIONS = 64
_MAX_ELEMENTS = 1 << 60
_GROUPS = {"u3": (8, 3), "u6": (4, 3)}
"""Elements and bytes of the groups in which types are packed that do not divide a byte."""


class Constant(NamedTuple):
    """A constant and where its bytes are.

    Args:
        file: The file that holds them; the XML itself for one without bytes.
        offset: Where they begin.
        nbytes: How many there are.
        code: Element type, as OpenVINO calls it.
        shape: Length of each dimension.
    """

    file: DataFile
    offset: int
    nbytes: int
    code: str
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def fills_bytes(self) -> bool:
        """Whether the elements are of the vocabulary and fill whole bytes."""
        return self.code in STORED and self.numel % STORED[self.code].packed_group == 0

    def stored(self, name: str, role: Literal["weights", "buffers"] = "weights") -> FileTensor:
        """Return the bytes of the constant as they lie in the file: as elements, or else as bytes."""
        kind = dtype("uint8")
        shape: tuple[int, ...] = (self.nbytes,)
        if self.fills_bytes:
            kind, shape = STORED[self.code], self.shape
        elif self.code == STRING:
            kind = opaque_dtype("string bytes", 1)
        return FileTensor(name=name, shape=shape, dtype=kind, role=role, file=self.file, offset=self.offset)


def read_constant(layer: Layer, xml: DataFile, weights: DataFile | None) -> Constant:
    """Return where the elements of a ``Const`` layer are.

    Args:
        layer: The layer.
        xml: The file that describes it.
        weights: The file that holds its bytes, if there is one.

    Raises:
        LoadError: If type, shape and size contradict each other, or the file is too short.
    """
    who = f"constant {layer.name[:80]!r}"
    code = layer.data.get("element_type", "")
    if bits_of(code) is None and code != STRING:
        raise LoadError(
            xml.name, f"{who} has the element type {code[:40]!r}, which OpenVINO does not have", layer.offset
        )
    shape = _shape(layer, who, xml)
    offset, size = (
        whole_number(layer.data.get(key, ""), f"the {key} of {who}", xml, layer.offset) for key in ("offset", "size")
    )
    if offset < 0 or size < 0 or not _fits(code, math.prod(shape), size):
        reason = f"{who} is said to have {size:,} bytes at {offset:,}, which does not fit {code}, shape {list(shape)}"
        raise LoadError(xml.name, reason, layer.offset)
    if not size:
        return Constant(xml, 0, 0, code, shape)
    if weights is None:
        raise LoadError(xml.name, f"{who} has bytes, and there is no file of weights", layer.offset)
    if offset + size > weights.size:
        missing = offset + size - weights.size
        raise LoadError(weights.name, f"the file ends here, {missing:,} bytes too early for {who}", weights.size)
    return Constant(weights, offset, size, code, shape)


def _shape(layer: Layer, who: str, xml: DataFile) -> tuple[int, ...]:
    text = layer.data.get("shape", "").strip()
    parts = text.split(",") if text else []
    if len(parts) > _MAX_DIMENSIONS:
        raise LoadError(xml.name, f"{who} has {len(parts):,} dimensions", layer.offset)
    shape = tuple(whole_number(part, f"the shape of {who}", xml, layer.offset) for part in parts)
    if any(length < 0 for length in shape) or math.prod(length or 1 for length in shape) > _MAX_ELEMENTS:
        raise LoadError(xml.name, f"the shape of {who} is {text[:80]!r}, which no array can have", layer.offset)
    return shape


def _fits(code: str, n_elements: int, size: int) -> bool:
    if code == STRING:
        return size >= 4 * (n_elements + 2)
    if code in _GROUPS:
        n_group, n_bytes = _GROUPS[code]
        return size == -(-n_elements // n_group) * n_bytes
    bits = CODED[code] if code in CODED else STORED[code].bits
    return size == -(-n_elements * bits // 8)


def read_strings(constant: Constant) -> list[str | bytes]:
    """Return the elements of a constant of strings; bytes where they are not UTF-8.

    They are packed: their number, where each begins and the last ends (32 bits each), and then their bytes.

    Raises:
        LoadError: If these numbers contradict each other.
    """
    count, file, offset = constant.numel, constant.file, constant.offset
    if not constant.nbytes:
        return []
    data = file.read(offset, constant.nbytes)
    numbers = [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(count + 2)]
    body = data[4 * (count + 2) :]
    places = numbers[1:]
    if numbers[0] != count or places[0] or places[-1] != len(body) or any(a > b for a, b in pairwise(places)):
        raise LoadError(
            file.name, f"the packed strings here do not hold the {count:,} strings that they should", offset
        )
    return [_text(body[begin:end]) for begin, end in pairwise(places)]


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
