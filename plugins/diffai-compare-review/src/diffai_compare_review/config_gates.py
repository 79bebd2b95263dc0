"""Rules that hold the configuration of NEW against its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_compare_review.gates import Gate, clear, flagged, unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from diffai_lib_layers import Fact, Facts, Place

    from diffai_core.plugin import Comparison, TensorRef

_PADDING = 64
_BUFFER = 1 << 20


def config_gates(comparison: Comparison) -> Iterator[Gate]:
    """Yield whether vocabulary, heads, depth, width and tied embeddings are as the configuration says."""
    from diffai_lib_layers import facts_of, place

    facts = facts_of(comparison.new)
    refs = {
        name: (ref, place(name))
        for name, ref in comparison.new.tensors.items()
        if ref.is_parameter and comparison.keys.keeps_tensor(ref)
    }
    yield _vocabulary(facts, refs)
    yield _heads(facts, refs)
    yield _depth(facts, refs)
    yield _width(facts, refs)
    yield _tied(facts, refs)


def _of_role(refs: Mapping[str, tuple[TensorRef, Place]], *roles: str) -> list[TensorRef]:
    found = [ref for ref, where in refs.values() if where.role in roles and where.part == "weight"]
    return [ref for ref in found if len(ref.shape) > 1]


def _needs(rule: str, what: str) -> Gate:
    return unchecked(rule, f"needs {what} (give the folder with its config.json)")


def _vocabulary(facts: Facts, refs: Mapping[str, tuple[TensorRef, Place]]) -> Gate:
    rule = "vocab_size_matches_embedding"
    embeddings = _of_role(refs, "embed")
    if facts.vocab_size is None or not embeddings:
        return _needs(rule, "vocab_size and an embedding")
    rows = max(ref.shape[0] for ref in embeddings)
    told = facts.vocab_size.value
    numbers = {"vocab_size": told, "embedding_rows": rows}
    if rows == told or told <= rows < told + _PADDING:  # rows are padded for speed
        return clear(rule, f"{told:,} tokens, {rows:,} rows", **numbers)
    text = f"the configuration says {told:,} tokens, the embedding has {rows:,} rows"
    return flagged(rule, "high", text, embeddings[0].name, **numbers)


def _heads(facts: Facts, refs: Mapping[str, tuple[TensorRef, Place]]) -> Gate:
    from diffai_lib_layers import matrix_shape

    rule = "heads_match_queries"
    queries = _of_role(refs, "q")
    if facts.n_heads is None or not queries:
        return _needs(rule, "the number of heads and query matrices")
    rows = {shape[0] for ref in queries if (shape := matrix_shape(ref))}
    heads, size = facts.n_heads.value, _value(facts.head_dim)
    bad = [count for count in sorted(rows) if (count != heads * size if size else count % heads)]
    numbers = {"n_heads": heads, "head_dim": size, "query_rows": sorted(rows)}
    if bad:
        text = f"{heads} heads{f' of {size}' if size else ''} do not make {bad[0]:,} query rows"
        return flagged(rule, "high", text, queries[0].name, **numbers)
    return clear(rule, f"{heads} heads fit {sorted(rows)} query rows", **numbers)


def _value(fact: Fact | None) -> Any:
    return None if fact is None else fact.value


def _depth(facts: Facts, refs: Mapping[str, tuple[TensorRef, Place]]) -> Gate:
    rule = "layers_match_blocks"
    stacks: dict[str, set[int]] = {}
    for _, where in refs.values():
        if where.block is not None:
            stacks.setdefault(where.prefix, set()).add(where.block)
    if facts.n_layers is None or not stacks:
        return _needs(rule, "the number of layers and numbered blocks")
    told = facts.n_layers.value
    depths = sorted({len(blocks) for blocks in stacks.values()})
    if told in depths:
        return clear(rule, f"{told} layers, {told} blocks", n_layers=told, n_blocks=depths)
    text = f"the configuration says {told} layers, the tensors make {depths} blocks"
    return flagged(rule, "high", text, n_layers=told, n_blocks=depths)


def _width(facts: Facts, refs: Mapping[str, tuple[TensorRef, Place]]) -> Gate:
    rule = "hidden_size_matches_embedding"
    embeddings = _of_role(refs, "embed")
    if facts.hidden_size is None or not embeddings:
        return _needs(rule, "hidden_size and an embedding")
    told, widths = facts.hidden_size.value, sorted({ref.shape[-1] for ref in embeddings})
    if told in widths:
        return clear(rule, f"width {told:,}", hidden_size=told, embedding_width=widths)
    text = f"the configuration says width {told:,}, the embedding has {widths}"
    return flagged(rule, "high", text, embeddings[0].name, hidden_size=told, embedding_width=widths)


def _tied(facts: Facts, refs: Mapping[str, tuple[TensorRef, Place]]) -> Gate:
    rule = "tied_embeddings_as_told"
    if facts.tie_word_embeddings is None:
        return _needs(rule, "tie_word_embeddings")
    told = facts.tie_word_embeddings.value
    heads, embeddings = _of_role(refs, "head"), _of_role(refs, "embed")
    pairs = [(head, one) for head in heads for one in embeddings if head.shape == one.shape]
    if told and not heads:
        return clear(rule, "tied, and no head is stored", tied=True)
    if not told and not heads:
        return flagged(rule, "high", "not tied, and no head is stored", tied=False)
    if not pairs:
        return (
            clear(rule, "head and embedding have other shapes", tied=told)
            if not told
            else flagged(rule, "high", "tied, but head and embedding have other shapes", heads[0].name, tied=True)
        )
    equal = any(head.storage == one.storage or _equal(head, one) for head, one in pairs)
    if told and not equal:
        text = "tied by the configuration, but head and embedding differ"
        return flagged(rule, "high", text, heads[0].name, tied=True)
    return clear(rule, f"{'tied' if told else 'not tied'}, as the tensors are", tied=told, equal=equal)


def _equal(head: TensorRef, embedding: TensorRef) -> bool:
    """Whether the elements are the same; the first block that differs ends it."""
    if head.dtype != embedding.dtype:
        return False
    blocks = zip(head.blocks(_BUFFER), embedding.blocks(_BUFFER), strict=True)
    return all(one.tobytes() == other.tobytes() for one, other in blocks)
