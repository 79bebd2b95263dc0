"""Which of the installed loaders opens a tokenizer, whatever it is called."""

from __future__ import annotations

import io
import json

import pytest
import sentencepiece
from diffai_load_tokenizer import sniff
from tokenizers import Tokenizer, models, trainers

from diffai_core.discovery import find_plugins
from diffai_core.plugin import Source
from diffai_core.registry import build_registry
from diffai_core.selection import choose_loader

TEXT = ["the quick brown fox jumps over the lazy dog", "hello world, how are you"] * 4


@pytest.fixture(scope="module")
def registry():
    return build_registry(find_plugins())


@pytest.fixture
def chosen(registry, tmp_path):
    def choose(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return choose_loader(Source(path), registry).spec.name

    return choose


def tokenizer_json(**options):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=60, special_tokens=["<s>"], show_progress=False))
    if options:
        tokenizer.enable_truncation(**options)
    return tokenizer.to_str(pretty=not options).encode()


@pytest.mark.parametrize("name", ["tokenizer.json", "other.json", "tokenizer", "x.txt", "a.tokenizer.json"])
def test_a_tokenizer_json_is_known_by_its_content(chosen, name):
    assert chosen(name, tokenizer_json()) == "tokenizer"
    assert chosen(name, tokenizer_json(max_length=12)) == "tokenizer"


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json", "tokenizer.json", "vocab.json", "data"])
@pytest.mark.parametrize("document", [{"version": "1.0", "a": 1}, {"cat": 0, "dog": 1}, {"added_tokens": []}, [1, 2]])
def test_other_json_stays_json(chosen, name, document):
    assert chosen(name, json.dumps(document).encode()) == "json"


@pytest.mark.parametrize("name", ["vocab.json", "encoder.json", "vocab"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_vocabulary_with_special_tokens_is_known_by_its_content(chosen, name, ascii_only):
    many = {f"w{number}": number for number in range(2000)}
    for vocab in ({"<s>": 0, "a": 1}, {"!": 0, "Ġthe": 1}, {"▁a": 0, **many}, {"[UNK]": 0}, {"##s": 5, '\\"': 6}):
        assert chosen(name, json.dumps(vocab, ensure_ascii=ascii_only, indent=len(vocab) % 2).encode()) == "vocab-json"


def test_lists_are_known_by_content_or_name(chosen):
    assert chosen("vocab.txt", b"[PAD]\n[UNK]\nthe\n") == "vocab-txt"
    assert chosen("bert-vocab.txt", b"plain\nwords\n") == "vocab-txt"
    assert chosen("file", b"[PAD]\r\n[UNK]\r\nthe\r\n") == "vocab-txt"
    assert chosen("merges.txt", b"a b\nab c\n") == "merges"
    assert chosen("file", b"#version: 0.2\na b\n") == "merges"
    assert chosen("file", b"IQ== 0\nIg== 1\nIw== 2\n") == "tiktoken"


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("name", ["spiece.model", "file", "x.bin"])
def test_sentencepiece_is_known_by_its_content(chosen, kind, name):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=written,
        vocab_size=32,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    assert chosen(name, written.getvalue()) == "sentencepiece"


@pytest.mark.parametrize(
    "head",
    [
        b'\x08\x07\x12\x07pytorch\x1a\x052.0.0:\x10\n\x0e\n\x01x\n\x01w\x12\x01y"\x03Add',
        b"\x08\x01\x12\x84\x01\n\x9f\x01\n4\n\x0eAssignVariableOp",
        b"\n\x1a\n\x01x\x12\x0bPlaceholder*\x08\n\x05dtype",
        b"\x08\x04\x12\x00\xc2\x0c\x00",
        b"hello\nworld\n",
        b"res 240\nhor 24\nvert 40\n",
        b" 1\n 2\n 3\n",
        b'{"version": "1.0"}',
        b"PK\x03\x04",
    ],
)
def test_other_formats_are_declined(head):
    for name in dir(sniff):
        if name.startswith("looks_like_"):
            assert not getattr(sniff, name)(head, len(head)), name
            assert not getattr(sniff, name)(head, 10**9), name
