"""Opens a ``tokenizer.json`` of Hugging Face: one tree for all its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_json import parse_json

from diffai_core.plugin import LoadError, read_text
from diffai_load_tokenizer.vocabulary import MAX_BYTES, open_tree, plain_ranks, ranks, vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Artifact, DataFile, Source

MAX_CONTAINERS = 4_000_000
"""Most objects and arrays in a file: each merge and each piece with its score is one."""

_PAIR = 2


def open_tokenizer(source: Source, _options: Mapping[str, Any]) -> Artifact:
    """Open a tokenizer.json.

    Returns:
        A tree with ``vocab`` (token to id), ``merges`` (merge to rank), ``scores`` (token to score, of a Unigram
        model), ``added_tokens`` (by their text), and everything else as the file has it.

    Raises:
        LoadError: If it is not JSON, or not a tokenizer.
    """
    return open_tree(source, "tokenizer", _read)


def _read(file: DataFile) -> dict[str, Any]:
    document = parse_json(read_text(file, MAX_BYTES), MAX_CONTAINERS)
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        raise LoadError(file.name, "not a tokenizer.json: it has no 'model'", 0)
    model = dict(document["model"])
    tree = {key: value for key, value in document.items() if key not in {"model", "added_tokens"}}
    parts = _vocabulary(model.pop("vocab", None), file)
    if "merges" in model:
        merges = _list(model.pop("merges"), "merges", file)
        parts |= plain_ranks(merges) or ranks(_pair(merge, file) for merge in merges)
    parts |= {"model": model, **_added_tokens(document.get("added_tokens"), file)}
    clash = tree.keys() & parts
    if clash:
        raise LoadError(file.name, f"not a tokenizer.json: {min(clash)!r} stands outside its 'model'", 0)
    return tree | parts


def _vocabulary(vocab: Any, file: DataFile) -> dict[str, Any]:
    if isinstance(vocab, dict):
        if set(map(type, vocab.values())) <= {int}:
            return {"vocab": vocab}
        raise LoadError(file.name, "not a tokenizer.json: an id in its vocabulary is not a whole number", 0)
    entries = _list(vocab, "vocab", file)
    if not all(_is_scored(entry) for entry in entries):
        raise LoadError(file.name, "not a tokenizer.json: a token in its vocabulary is not a text with a score", 0)
    return {**vocabulary([token for token, _ in entries], [score for _, score in entries]), "scores": dict(entries)}


def _is_scored(entry: Any) -> bool:
    return isinstance(entry, list) and list(map(type, entry)) in ([str, float], [str, int])


def _list(value: Any, what: str, file: DataFile) -> list[Any]:
    if isinstance(value, list):
        return value
    raise LoadError(file.name, f"not a tokenizer.json: the {what!r} of its model is not a list", 0)


def _pair(merge: Any, file: DataFile) -> tuple[str, str]:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if isinstance(parts, list) and len(parts) == _PAIR and isinstance(parts[0], str) and isinstance(parts[1], str):
        return parts[0], parts[1]
    raise LoadError(file.name, "not a tokenizer.json: a merge is not two tokens", 0)


def _added_tokens(tokens: Any, file: DataFile) -> dict[str, Any]:
    """Return the added tokens by their text; as the list that they are where two have one text.

    Tokenizers add them in the order of the list, whatever their ids say. As a rule that is the order of the ids; where
    it is not, ``added_tokens_order`` holds it.
    """
    if tokens is None:
        return {"added_tokens": {}}
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise LoadError(file.name, "not a tokenizer.json: its 'added_tokens' are no list of objects", 0)
    found = {
        token["content"]: {key: value for key, value in token.items() if key != "content"}
        for token in tokens
        if isinstance(token.get("content"), str)
    }
    if len(found) != len(tokens):
        return {"added_tokens": tokens}
    ids = [token.get("id") for token in tokens]
    in_order = set(map(type, ids)) <= {int} and ids == sorted(set(ids))
    return {"added_tokens": found} if in_order else {"added_tokens": found, "added_tokens_order": list(found)}
