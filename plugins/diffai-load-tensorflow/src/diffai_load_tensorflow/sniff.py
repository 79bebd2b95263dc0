"""Recognises the files of TensorFlow by their first bytes, and tells them from others that are protobuf, too."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["index", "saved model", "metagraph", "graph", "state"]

_OPERATOR = re.compile(rb"[A-Za-z_>][A-Za-z0-9_>]{0,99}")
_NODE_NAME = re.compile(rb"[A-Za-z0-9.][A-Za-z0-9_>./\\-]*")
_STATE = re.compile(rb'\s*model_checkpoint_path\s*:\s*"')
_LARGEST_HEADER = 64


class _Data(NamedTuple):
    """A field with a length: where its data begin and end."""

    start: int
    end: int


def looks_like_tensorflow(head: bytes, size: int) -> bool:
    """Whether a file that begins with ``head`` and has ``size`` bytes is one of TensorFlow's."""
    return kind_of(head, size) is not None


def kind_of(head: bytes, size: int) -> Kind | None:
    """Return what a file is that begins with ``head`` and has ``size`` bytes."""
    if head.startswith(b"\x08\x01\x12"):
        return "saved model" if _is_saved_model(head, size) else None
    if head.startswith(b"\0\0"):
        return "index" if _is_index(head) else None
    if head.startswith(b"\x0a"):
        return "graph" if _is_graph(head, size) else "metagraph" if _is_metagraph(head, size) else None
    return "state" if _STATE.match(head) else None


def _data(head: bytes, at: int, tag: int) -> _Data | None:
    """Return the data of the field at ``at`` if it has this tag."""
    if at >= len(head) or head[at] != tag:
        return None
    length = shift = 0
    for place in range(at + 1, min(at + 11, len(head))):
        length |= (head[place] & 127) << shift
        shift += 7
        if head[place] < 128:  # noqa: PLR2004 - the last byte of a number
            return _Data(place + 1, place + 1 + length)
    return None


def _is_saved_model(head: bytes, size: int) -> bool:
    """A version, then MetaGraphs to the end: each begins with its info or its graph."""
    graph = _data(head, 2, 0x12)
    if graph is None or graph.end > size or graph.start >= len(head):
        return False
    follows = graph.end == size or graph.end >= len(head) or head[graph.end] == 0x12  # noqa: PLR2004 - the next one
    return follows and head[graph.start] in {0x0A, 0x12}


def _is_index(head: bytes) -> bool:
    """The first entry of the table has an empty key; its value is the number of data files, and versions."""
    length = head[2] if len(head) > 2 else 0  # noqa: PLR2004 - behind two counts
    value = head[3 : 3 + length]
    return 0 < length <= min(_LARGEST_HEADER, len(head) - 3) and value[:1] == b"\x08" and b"\x1a\x02\x08\x01" in value


def _is_graph(head: bytes, size: int) -> bool:
    """The first thing is a node: its name, then its operator."""
    node = _data(head, 0, 0x0A)
    name = _data(head, node.start, 0x0A) if node else None
    if node is None or name is None or node.end > size:
        return False
    operator = _data(head, name.end, 0x12)
    return (
        operator is not None
        and operator.end <= min(node.end, len(head))
        and _NODE_NAME.fullmatch(head, name.start, name.end) is not None
        and _OPERATOR.fullmatch(head, operator.start, operator.end) is not None
    )


def _is_metagraph(head: bytes, size: int) -> bool:
    """The first thing is the info: perhaps a version, then the list of operators, each with its name."""
    info = _data(head, 0, 0x0A)
    if info is None or info.end > size:
        return False
    version = _data(head, info.start, 0x0A)
    operators = _data(head, version.end if version else info.start, 0x12)
    operator = _data(head, operators.start, 0x0A) if operators else None
    name = _data(head, operator.start, 0x0A) if operator else None
    return name is not None and _OPERATOR.fullmatch(head, name.start, name.end) is not None
