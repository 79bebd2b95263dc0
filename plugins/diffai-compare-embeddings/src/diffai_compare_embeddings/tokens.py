"""What the rows of an embedding are called: the tokens of the tokenizer beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffai_core.plugin import Artifact

_MOST_PADDING = 2.0
"""A table may have more rows than tokens, because sizes are rounded up; beyond this factor it is another table."""
_FEWEST_TOKENS = 16


def vocabulary(side: Artifact, n_rows: int) -> dict[str, int]:
    """Return the row of each token, empty if the files hold no vocabulary that fits a table of ``n_rows``.

    Looked at are tokenizers beside the model (``tokenizer.json``, ``tokenizer.model``, ``vocab.txt`` …, as they are in
    the tree of a folder), GGUF's token list, and ``vocab`` or ``stoi`` in a checkpoint.
    """
    for candidate in _vocabularies(side.tree):
        fits = candidate and max(candidate.values()) < n_rows <= _MOST_PADDING * len(candidate)
        if fits and min(candidate.values()) >= 0 and len(candidate) >= _FEWEST_TOKENS:
            return candidate
    return {}


def _vocabularies(tree: Mapping[str, Any]) -> list[dict[str, int]]:
    found = [_rows(tree, name) for name in ("vocab", "stoi")]
    listed = tree.get("tokenizer.ggml.tokens")
    if isinstance(listed, list):
        found.append({token: row for row, token in enumerate(listed) if isinstance(token, str)})
    found += [_rows(value, "vocab") for value in tree.values() if isinstance(value, Mapping)]
    return [rows for rows in found if rows]


def _rows(tree: Mapping[str, Any], name: str) -> dict[str, int]:
    """Return the vocabulary of one tokenizer, with the tokens that were added to it."""
    vocab = tree.get(name)
    if not isinstance(vocab, Mapping):
        return {}
    rows = {token: row for token, row in vocab.items() if isinstance(token, str) and type(row) is int}
    added = tree.get("added_tokens")
    if isinstance(added, Mapping):
        for token, entry in added.items():
            row = entry.get("id") if isinstance(entry, Mapping) else entry
            if isinstance(token, str) and type(row) is int:
                rows[token] = row
    return rows if len(rows) >= len(vocab) else {}
