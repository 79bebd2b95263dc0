"""Opens a SentencePiece model: a protobuf message with the pieces and how they were trained."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from diffai_lib_protobuf import LENGTH, Message

from diffai_core.plugin import LoadError
from diffai_load_tokenizer.specs import read_denormalizer, read_normalizer, read_self_test, read_trainer, unknown
from diffai_load_tokenizer.vocabulary import MAX_BYTES, open_tree, vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_lib_protobuf import Field

    from diffai_core.plugin import Artifact, DataFile, Source

_TYPES = {1: "normal", 2: "unknown", 3: "control", 4: "user_defined", 5: "unused", 6: "byte"}
_PIECE, _SCORE, _TYPE = 1, 2, 3
_PARTS = {2: ("trainer", read_trainer), 3: ("normalizer", read_normalizer), 4: ("self_test", read_self_test)}
_PARTS[5] = ("denormalizer", read_denormalizer)
_NORMAL = 1
_FLOAT = struct.Struct("<f")
_FLOAT_BYTES = 5  # with its tag
_PIECE_TAG, _SCORE_TAG = 0x0A, 0x15
_LONG = 128  # from here on a length has two bytes


def open_sentencepiece(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a SentencePiece model.

    Returns:
        A tree with ``vocab`` (piece to id), ``scores`` and ``types`` (by piece; ``normal`` ones are left out), and
        ``trainer``, ``normalizer``, ``denormalizer``, ``self_test`` with what the file sets.

    Raises:
        LoadError: If the bytes are no such message.
    """
    return open_tree(source, "sentencepiece", _read)


def _read(file: DataFile) -> dict[str, Any]:
    if file.size > MAX_BYTES:
        raise LoadError(file.name, f"has {file.size:,} bytes; more than {MAX_BYTES:,} are not read")
    message = Message.in_memory(file.read(0, file.size), file.name)
    pieces: list[tuple[str, float, int]] = []
    others: dict[str, Any] = {}
    for field in message.fields():
        if field.number == 1:
            pieces.append(_piece(field))
        elif field.number in _PARTS:
            name, read = _PARTS[field.number]
            if name in others:
                raise field.error(f"the {name} of a SentencePiece model is there twice")
            others[name] = read(field.message())
        else:
            unknown(others, field)
    if not pieces:
        raise LoadError(file.name, "not a SentencePiece model: it has no pieces", 0)
    return _columns(pieces) | others


def _columns(pieces: list[tuple[str, float, int]]) -> dict[str, Any]:
    texts, scores, kinds = zip(*pieces, strict=True)
    names = [_TYPES.get(kind, kind) for kind in kinds]
    last = dict(zip(texts, names, strict=True))  # of several pieces with one text, as for the ids
    types = {text: name for text, name in last.items() if name != _TYPES[_NORMAL]}
    return {**vocabulary(texts, scores, names), "scores": dict(zip(texts, scores, strict=True)), "types": types}


def _piece(field: Field) -> tuple[str, float, int]:
    """Return text, score and type of a piece; nearly all are written as text and score, short and in this order."""
    data = field.data() if field.wire == LENGTH else b""
    if len(data) > _FLOAT_BYTES and data[0] == _PIECE_TAG and data[1] < _LONG:
        end = 2 + data[1]
        if len(data) == end + _FLOAT_BYTES and data[end] == _SCORE_TAG:
            try:
                return data[2:end].decode(), _FLOAT.unpack_from(data, end + 1)[0], _NORMAL
            except UnicodeDecodeError:
                pass  # the slow way says where
    text, score, kind = "", 0.0, _NORMAL
    for part in field.message().fields():
        if part.number == _PIECE:
            text = part.text()
        elif part.number == _SCORE:
            score = part.float32()
        elif part.number == _TYPE:
            kind = part.unsigned()
        else:
            raise part.error(f"a piece has the unknown field {part.number}")
    return text, score, kind
