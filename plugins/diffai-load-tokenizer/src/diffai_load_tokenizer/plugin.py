"""Declares the loaders of tokenizers; the work is in the modules they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffai_core.plugin import LoaderSpec, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def diffai_loaders() -> Iterator[LoaderSpec]:
    """Yield one loader for each way in which a vocabulary is written."""
    yield LoaderSpec(
        name="tokenizer",
        title="Hugging Face tokenizer (tokenizer.json)",
        target="diffai_load_tokenizer.fast:open_tokenizer",
        suffixes=("tokenizer.json",),
        sniff="diffai_load_tokenizer.sniff:looks_like_tokenizer",
        dialect_of="json",
    )
    yield LoaderSpec(
        name="vocab-json",
        title="vocabulary (vocab.json)",
        target="diffai_load_tokenizer.lists:open_vocab_json",
        suffixes=("vocab.json",),
        sniff="diffai_load_tokenizer.sniff:looks_like_vocab_json",
        dialect_of="json",
    )
    yield LoaderSpec(
        name="vocab-txt",
        title="vocabulary (vocab.txt)",
        target="diffai_load_tokenizer.lists:open_vocab_txt",
        suffixes=("vocab.txt",),
        sniff="diffai_load_tokenizer.sniff:looks_like_vocab_txt",
    )
    yield LoaderSpec(
        name="merges",
        title="merges of a BPE tokenizer (merges.txt)",
        target="diffai_load_tokenizer.lists:open_merges",
        suffixes=("merges.txt",),
        sniff="diffai_load_tokenizer.sniff:looks_like_merges",
    )
    yield LoaderSpec(
        name="tiktoken",
        title="tiktoken vocabulary",
        target="diffai_load_tokenizer.lists:open_tiktoken",
        suffixes=(".tiktoken",),
        sniff="diffai_load_tokenizer.sniff:looks_like_tiktoken",
    )
    yield LoaderSpec(
        name="sentencepiece",
        title="SentencePiece",
        target="diffai_load_tokenizer.sentencepiece:open_sentencepiece",
        suffixes=(".model", ".spm"),
        sniff="diffai_load_tokenizer.sniff:looks_like_sentencepiece",
    )
