"""The role of a layer from the words of its name."""

from __future__ import annotations

import re

from diffai_lib_layers.words import ATTENTION, EXACT, FEED_FORWARD, IN_BLOCK, OUTSIDE, RUNNING

_ATTENTION_WORD = re.compile(r"attn|att(?:ention)?s?(?:_|\d|$)|attention|mha|multihead|^xca$")
_FEED_FORWARD_WORD = re.compile(
    r"mlp|ffn|ff|feed_?forward.*|densereludense|.*moe|.*experts?|intermediate|ff_context|net|.*mlp.*|ffn_.*"
)
_BATCH_NORM = re.compile(r"batch_?norm.*|bn\d*|bn_.*|.*_bn\d*|.*batch_normalization.*")
_NORM = re.compile(r".*norm.*|ln|ln_?[a-z0-9]{1,4}|.*_ln\d?|rms|ln_\w+")
_STATE_SPACE_WORD = re.compile(r"mixer|mamba\d?|ssm")
_POSITION = re.compile(r".*position.*|.*_pos_.*")
_EMBEDDING = re.compile(r".*embeddings?|.*_emb|.*_embed")
_DENSE = re.compile(r".*(?:dense|linear|fc|mlp|proj|reduction|ffn|mapping).*")
_NUMBER = re.compile(r"_?\d+$")

_LEAVES = {"ffn": "up", "ffn_output": "down", "mlp": "mlp"}
"""Words that say the role only of the last module (ALBERT); further up they are what a layer is in."""


def role_of(words: list[str], *, in_block: bool, part: str, recurrent: bool = False) -> str:
    """Return the role of the layer that is called ``words``.

    Args:
        words: Modules from the block (or the top) down to the layer, lower case, without numbers.
        in_block: Whether they are inside a block.
        part: The part of the layer; the running mean of a layer makes it a batch norm.
        recurrent: Whether the part is one that only recurrent layers have.
    """
    if recurrent or part in RUNNING:
        return "rnn" if recurrent else "bn"
    if not words:
        return "scale" if part == "scale" else "other"
    if words[-1] in _LEAVES:
        return _LEAVES[words[-1]]
    return _by_words(words, in_block=in_block)


def _by_words(words: list[str], *, in_block: bool) -> str:
    """Return the role by the last word that tells one, or by what the layer is in."""
    contexts = _contexts(words)
    for depth in range(len(words) - 1, -1, -1):
        word = words[depth]
        found = _of_word(word, contexts[depth], IN_BLOCK if in_block else OUTSIDE)
        if found is None and word[-1:].isdigit():
            found = _of_word(_NUMBER.sub("", word), contexts[depth], {})
        if found is not None:
            return found
    if any(map(_STATE_SPACE_WORD.fullmatch, words)):
        return "ssm"
    if _POSITION.fullmatch(words[-1]) or _EMBEDDING.fullmatch(words[-1]):
        return "position" if _POSITION.fullmatch(words[-1]) else "embed"
    if any(context is FEED_FORWARD for context in contexts) or any(map(_DENSE.fullmatch, words)):
        return "mlp"
    return "other"


def _contexts(words: list[str]) -> list[dict[str, str] | None]:
    """Return for each word the table of the part of a block that it stands in."""
    found: list[dict[str, str] | None] = []
    context: dict[str, str] | None = None
    for word in words:
        found.append(context)
        if _ATTENTION_WORD.search(word):
            context = ATTENTION
        elif _FEED_FORWARD_WORD.fullmatch(word):
            context = FEED_FORWARD
    return found


def _of_word(word: str, context: dict[str, str] | None, without: dict[str, str]) -> str | None:
    """Return what a word says in its context; ``without`` is what it says in none."""
    if word in EXACT:
        return EXACT[word]
    if context is not None and word in context:
        return context[word]
    if context is None and word in without:
        return without[word]
    if _BATCH_NORM.fullmatch(word):
        return "bn"
    if _NORM.fullmatch(word):
        return "norm"
    return "conv" if "conv" in word else "scale" if "layer_scale" in word else None
