"""Opens vocabularies and merges that are written as lists: vocab.json, vocab.txt, merges.txt, tiktoken."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json

from diffai_core.plugin import LoadError, read_text
from diffai_load_tokenizer.vocabulary import MAX_BYTES, byte_level, open_tree, ranks, vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_core.plugin import Artifact, DataFile, Source, Text

_VERSION = re.compile(r"#version:[ \t]*([^\n]*)\n?")
_RANKED = re.compile(rb"([A-Za-z0-9+/]*={0,2}) ([0-9]{1,18})\r?(?:\n|\Z)")


def open_vocab_json(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a vocab.json: an object with the id of each token, under ``vocab``.

    Raises:
        LoadError: If it is anything else.
    """
    return open_tree(source, "vocab-json", _read_vocab_json)


def open_vocab_txt(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a vocab.txt: one token a line; the number of the line, from 0, is its id, under ``vocab``.

    Raises:
        LoadError: If it is not text.
    """
    return open_tree(source, "vocab-txt", _read_vocab_txt)


def open_merges(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a merges.txt: two tokens a line; the number of the merge, from 0, is its rank, under ``merges``.

    Raises:
        LoadError: If it is anything else.
    """
    return open_tree(source, "merges", _read_merges)


def open_tiktoken(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a file of tiktoken: a token in base64 and its rank a line.

    Returns:
        A tree with ``vocab``: tokens as byte-level BPE writes them, so that they compare with a tokenizer.json.

    Raises:
        LoadError: If it is anything else.
    """
    return open_tree(source, "tiktoken", _read_tiktoken)


def _read_vocab_json(file: DataFile) -> dict[str, Any]:
    document = parse_json(read_text(file, MAX_BYTES), max_containers=MAX_BYTES)
    if not isinstance(document, dict) or not set(map(type, document.values())) <= {int}:
        raise LoadError(file.name, "not a vocabulary: it is no JSON object of whole numbers", 0)
    return {"vocab": document}


def _lines(text: Text, start: int = 0) -> Iterator[tuple[int, str]]:
    r"""Yield the place and the text of each line. Only ``\n`` ends one: other line ends are tokens."""
    content = text.content
    while start < len(content):
        end = content.find("\n", start)
        end = len(content) if end < 0 else end
        yield start, content[start:end].removesuffix("\r")
        start = end + 1


def _read_vocab_txt(file: DataFile) -> dict[str, Any]:
    return vocabulary([line for _, line in _lines(read_text(file, MAX_BYTES))])


def _read_merges(file: DataFile) -> dict[str, Any]:
    text = read_text(file, MAX_BYTES)
    version = _VERSION.match(text.content)
    found = ranks(_merges(text, version.end() if version else 0))
    return {"version": version[1].strip(), **found} if version else found


def _merges(text: Text, start: int) -> Iterator[tuple[str, str]]:
    for place, line in _lines(text, start):
        left, space, right = line.partition(" ")
        if left and right and " " not in right:
            yield left, right
        elif line or (not space and text.content[place:].strip()):
            raise text.error("not a list of merges: this line does not hold two tokens", place)


def _read_tiktoken(file: DataFile) -> dict[str, Any]:
    if file.size > MAX_BYTES:
        raise LoadError(file.name, f"has {file.size:,} bytes; more than {MAX_BYTES:,} are not read")
    data = file.read(0, file.size)
    vocab: dict[str, int] = {}
    place = 0
    while place < len(data):
        line = _RANKED.match(data, place)
        token = _decoded(line[1]) if line else None
        if line is None or token is None:
            raise LoadError(file.name, "not a tiktoken vocabulary: this line is not base64 and a rank", place)
        key = byte_level(token)
        if key in vocab:
            raise LoadError(file.name, f"the token {key!r} is there twice", place)
        vocab[key] = int(line[2])
        place = line.end()
    return {"vocab": vocab}


def _decoded(text: bytes) -> bytes | None:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
