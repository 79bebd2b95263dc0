"""Recognises tokenizers by their first bytes, and leaves everything else to others."""

from __future__ import annotations

import re

# The writer's order of keys is fixed, and the file says nothing else before its added tokens.
_TOKENIZER = re.compile(
    rb'\s*+\{\s*+"version"\s*+:\s*+"[0-9.]++"\s*+,.{0,3000}?"(?:added_tokens|normalizer)"\s*+:', re.DOTALL
)
_ENTRY = re.compile(r'\s*+"((?:[^"\\]++|\\.)*+)"\s*+:\s*+([0-9]{1,9})\s*+(,|\}\s*\Z)?')
_SPECIAL = re.compile(r"<\|?[\w/ -]+\|?>|\[[A-Z]{2,6}\d*\]|(?:\u0120|\\u0120|\u2581|\\u2581|##).+")
_TOKEN_LINE = re.compile(r"\[(?:PAD|UNK|CLS|SEP|MASK)\]|<(?:s|pad|unk)>")
_MERGES = re.compile(rb"#version:[^\n]{0,40}\n\S+ \S+\r?\n")
_TIKTOKEN = re.compile(
    rb"(?:(?=[A-Za-z0-9+/])(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[A-Za-z0-9+/=]=)? [0-9]{1,9}\r?\n){3}"
)
_SHORT = 128
_TYPES = 7


def looks_like_tokenizer(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file begins as a tokenizer.json does: version, then truncation, padding and added tokens."""
    return _TOKENIZER.match(head) is not None


def looks_like_vocab_json(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file is a JSON object of ids, among them one of a token that is no word: ``<pad>``, ``Ġthe``."""
    text = head.decode("utf-8", "ignore").lstrip()
    if not text.startswith("{"):
        return False
    place, is_special = 1, False
    while entry := _ENTRY.match(text, place):
        is_special = is_special or _SPECIAL.fullmatch(entry[1]) is not None
        place = entry.end()
        if entry[3] != ",":
            break
    rest = text[place:].lstrip()
    return is_special and (not rest or (rest.startswith('"') and len(text) - place < len(text) // 2))


def looks_like_vocab_txt(head: bytes, size: int) -> bool:
    """Whether a file is a list of words, among the first a special token such as ``[UNK]``."""
    try:
        lines = head.decode("utf-8", "strict" if len(head) >= size else "ignore").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        return False
    if any(len(line.split()) > 1 for line in lines):
        return False
    return any(_TOKEN_LINE.fullmatch(line) for line in lines[:200]) and len(lines) > 2  # noqa: PLR2004 - a list


def looks_like_merges(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file begins with a version and a merge."""
    return _MERGES.match(head) is not None


def looks_like_tiktoken(head: bytes, size: int) -> bool:  # noqa: ARG001 - the contract of `sniff`
    """Whether a file begins with lines of base64 and a rank."""
    return _TIKTOKEN.match(head) is not None


def looks_like_sentencepiece(head: bytes, size: int) -> bool:
    """Whether a file begins with a message that holds a short text, then a float and a type, or nothing else."""
    if len(head) < 4 or head[0] != 0x0A or head[1] >= _SHORT or head[2] != 0x0A:  # noqa: PLR2004 - two tags
        return False
    end, text_end = 2 + head[1], 4 + head[3]
    if end > size or not text_end + 5 <= end <= len(head) or head[text_end] != 0x15:  # noqa: PLR2004 - a float's tag
        return False
    rest = head[text_end + 5 : end]
    return not rest or (len(rest) == 2 and rest[0] == 0x18 and rest[1] < _TYPES)  # noqa: PLR2004 - the type's tag
