"""Holds the plugin to the laws of the test kit, one class for each format."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import sentencepiece
from diffai_load_tokenizer import plugin as tokenizer_plugin
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from diffai_core.testing import LoaderTests, PluginTests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TEXT = ["the quick brown fox jumps over the lazy dog", "hello world, how are you", "the dog is how the fox is"] * 4
LINES = "the file is a list of lines, and any of them can be its last"


class TestPlugin(PluginTests):
    plugin = tokenizer_plugin


class TestTokenizer(LoaderTests):
    plugin = tokenizer_plugin
    name = "tokenizer"
    dtypes = ()

    def write_sample(self, path: Path) -> None:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["<s>", "</s>"], show_progress=False)
        tokenizer.train_from_iterator(TEXT, trainer)
        tokenizer.save(str(path))


class TestVocabJson(LoaderTests):
    plugin = tokenizer_plugin
    name = "vocab-json"
    dtypes = ()

    def write_sample(self, path: Path) -> None:
        path.write_text('{"<s>": 0, "</s>": 1, "th": 2, "\\u0120the": 3, "Ġ€": 4}', encoding="utf-8")

    def sample_tree(self) -> Mapping[str, Any]:
        return {"vocab": {"<s>": 0, "</s>": 1, "th": 2, "Ġthe": 3, "Ġ€": 4}}


class TestVocabTxt(LoaderTests):
    plugin = tokenizer_plugin
    name = "vocab-txt"
    dtypes = ()
    ignores_truncation = LINES

    def write_sample(self, path: Path) -> None:
        path.write_text("[PAD]\n[UNK]\n[CLS]\nthe\n##s\nä\n\u2028\n", encoding="utf-8")

    def sample_tree(self) -> Mapping[str, Any]:
        tokens = ["[PAD]", "[UNK]", "[CLS]", "the", "##s", "ä", "\u2028"]
        return {"vocab": {token: number for number, token in enumerate(tokens)}}


class TestMerges(LoaderTests):
    plugin = tokenizer_plugin
    name = "merges"
    dtypes = ()
    ignores_truncation = LINES

    def write_sample(self, path: Path) -> None:
        path.write_text("#version: 0.2\nt h\nth e\nĠ the\n", encoding="utf-8")

    def sample_tree(self) -> Mapping[str, Any]:
        return {"version": "0.2", "merges": {"t h": 0, "th e": 1, "Ġ the": 2}}


class TestTiktoken(LoaderTests):
    plugin = tokenizer_plugin
    name = "tiktoken"
    dtypes = ()
    ignores_truncation = LINES

    def write_sample(self, path: Path) -> None:
        tokens = [b"!", b"a", b" the", b"\xff\x00", "ü".encode()]
        path.write_bytes(b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens)))

    def sample_tree(self) -> Mapping[str, Any]:
        return {"vocab": {"!": 0, "a": 1, "Ġthe": 2, "ÿĀ": 3, "Ã¼": 4}}


class TestSentencePiece(LoaderTests):
    plugin = tokenizer_plugin
    name = "sentencepiece"
    dtypes = ()
    ignores_truncation = "a message can end after any of its fields"

    def write_sample(self, path: Path) -> None:
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXT),
            model_writer=written,
            vocab_size=45,
            model_type="bpe",
            normalization_rule_name="identity",
            user_defined_symbols=["<x>"],
            minloglevel=2,
        )
        path.write_bytes(written.getvalue())
