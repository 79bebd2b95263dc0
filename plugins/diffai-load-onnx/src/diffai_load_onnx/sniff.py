"""Tells an ONNX model from the other formats that are protobuf messages, by its first fields."""

from __future__ import annotations

from typing import NamedTuple

_NUMBER, _DATA = 0, 2
_IR_VERSION, _PRODUCER, _DOC_STRING, _GRAPH, _OPSET = 1, 2, 6, 7, 8
_MODEL = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH_FIELDS = frozenset({1, 2, 5, 10, 11, 12, 13, 14, 15, 16})
_MOST_IR_VERSION = 99
_LONGEST_PRODUCER = 256


class _Head(NamedTuple):
    """The first field of a message: its number, wire type and value, where its data begin, and what follows."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def looks_like_onnx(head: bytes, size: int) -> bool:
    """Whether the file that begins with ``head`` and has ``size`` bytes is a model.

    Its fields must be those of a model, with an IR version, and a graph whose first field is one of a graph. A
    SavedModel or a Core ML model also begins with a version, and has other fields behind it.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    position, seen = 0, set()
    while position < min(size, len(head)):
        field = _field(head, position)
        if field is None:
            return _DOC_STRING in seen and position > len(head) - 20
        if _MODEL.get(field.number) != field.wire or field.end > size or not _is_plausible(field, head):
            return False
        seen.add(field.number)
        position = field.end
    if _IR_VERSION not in seen:
        return False
    return _GRAPH in seen or (_DOC_STRING in seen and position > len(head))


def _is_plausible(field: _Head, head: bytes) -> bool:
    if field.number == _IR_VERSION:
        return 1 <= field.value <= _MOST_IR_VERSION
    if field.number == _PRODUCER:
        return field.value <= _LONGEST_PRODUCER and field.end <= len(head)
    if field.number == _GRAPH and field.value:
        inner = _field(head, field.start)
        return inner is None or (inner.wire == _DATA and inner.number in _GRAPH_FIELDS and inner.end <= field.end)
    return True


def _field(data: bytes, position: int) -> _Head | None:
    """Return the field at ``position``; ``None`` if ``data`` end before its data begin, or it is none."""
    tag, position = _number(data, position)
    wire = tag & 7
    if wire not in {_NUMBER, _DATA}:
        return _Head(tag >> 3, wire, 0, position, position) if tag >= 0 else None
    value, start = _number(data, position)
    if value < 0:
        return None
    return _Head(tag >> 3, wire, value, start, start + value if wire == _DATA else start)


def _number(data: bytes, position: int) -> tuple[int, int]:
    """Return the number of variable length at ``position`` and where it ends; -1 if it does not end."""
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that a number goes on
            return value, position + shift + 1
    return -1, position
