"""The tokenizers, held against the libraries that write them."""

from __future__ import annotations

import base64
import io
import json
import struct

import pytest
import sentencepiece
from diffai_load_tokenizer.fast import open_tokenizer
from diffai_load_tokenizer.lists import open_merges, open_tiktoken, open_vocab_json, open_vocab_txt
from diffai_load_tokenizer.sentencepiece import open_sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from diffai_core.plugin import LoadError, Source

TEXT = ["the quick brown fox jumps over the lazy dog", "hello world, how are you", "the dog is how the fox is"] * 4
BPE = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
MODELS = {
    "bpe": (models.BPE, trainers.BpeTrainer, {"vocab_size": 70}),
    "wordpiece": (lambda: models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer, {"vocab_size": 70}),
    "wordlevel": (lambda: models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer, {}),
    "unigram": (models.Unigram, trainers.UnigramTrainer, {"vocab_size": 50, "unk_token": "[UNK]"}),
}


def read(path, opener=open_tokenizer):
    with opener(Source(path), {}) as artifact:
        assert not artifact.tensors
        return artifact.tree


@pytest.fixture
def write(tmp_path):
    def written(data, name="file"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return written


def refused(path, opener):
    with pytest.raises(LoadError) as caught:
        opener(Source(path), {})
    assert caught.value.path == str(path)
    return caught.value


def trained(name):
    model, trainer, options = MODELS[name]
    tokenizer = Tokenizer(model())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.train_from_iterator(TEXT, trainer(special_tokens=["[UNK]"], show_progress=False, **options))
    tokenizer.add_tokens([AddedToken("<new>", lstrip=True)])
    return tokenizer


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_vocabulary_of_a_tokenizer_json_is_that_of_the_tokenizers_library(tmp_path, name):
    tokenizer = trained(name)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tree = read(tmp_path / "tokenizer.json")
    assert tree["vocab"] == tokenizer.get_vocab(with_added_tokens=False)
    added = {token: entry["id"] for token, entry in tree["added_tokens"].items()}
    assert tree["vocab"] | added == tokenizer.get_vocab(with_added_tokens=True)
    assert tree["added_tokens"]["<new>"]["lstrip"] is True
    raw = json.loads((tmp_path / "tokenizer.json").read_text())
    assert tree["model"] == {key: value for key, value in raw["model"].items() if key not in {"vocab", "merges"}}
    assert tree["pre_tokenizer"] == raw["pre_tokenizer"]
    if name == "unigram":
        assert tree["scores"] == dict(raw["model"]["vocab"])


def test_merges_are_ranked_as_in_the_merges_txt_of_the_tokenizers_library(tmp_path):
    tokenizer = trained("bpe")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vocab_json, merges_txt = tokenizer.model.save(str(tmp_path))
    fast = read(tmp_path / "tokenizer.json")
    assert fast["merges"] == read(merges_txt, open_merges)["merges"]
    assert fast["vocab"] == read(vocab_json, open_vocab_json)["vocab"]
    assert list(fast["merges"].values()) == list(range(len(fast["merges"])))


def test_a_vocab_txt_of_the_tokenizers_library_gives_its_vocabulary(tmp_path):
    tokenizer = trained("wordpiece")
    (vocab_txt,) = tokenizer.model.save(str(tmp_path))
    assert read(vocab_txt, open_vocab_txt) == {"vocab": tokenizer.get_vocab(with_added_tokens=False)}


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char", "word"])
def test_pieces_scores_and_types_are_those_that_sentencepiece_gives(tmp_path, kind):
    path = tmp_path / "m.model"
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_writer=written,
        vocab_size={"unigram": 35, "bpe": 50, "char": 30, "word": 15}[kind],
        model_type=kind,
        user_defined_symbols=["<x>", "<y>"],
        control_symbols=["<c>"],
        character_coverage=0.999,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    path.write_bytes(written.getvalue())
    library = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    tree = read(path, open_sentencepiece)
    pieces = [library.id_to_piece(number) for number in range(library.get_piece_size())]
    assert tree["vocab"] == {piece: number for number, piece in enumerate(pieces)}
    assert tree["scores"] == {piece: library.get_score(number) for number, piece in enumerate(pieces)}
    controls = {piece for number, piece in enumerate(pieces) if library.is_control(number)}
    assert {piece for piece, name in tree["types"].items() if name == "control"} == controls == {"<s>", "</s>", "<c>"}
    assert tree["types"]["<unk>"] == "unknown"
    assert tree["trainer"]["model_type"] == kind
    assert tree["trainer"]["user_defined_symbols"] == ["<x>", "<y>"]
    assert tree["trainer"]["character_coverage"] == struct.unpack("<f", struct.pack("<f", 0.999))[0]
    assert tree["normalizer"]["name"] == "nmt_nfkc"
    assert len(tree["normalizer"]["precompiled_charsmap"]) > 100_000


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(st.tuples(st.text(max_size=200), st.floats(width=32, allow_nan=False), st.integers(1, 6)), min_size=1))
def test_any_pieces_survive(tmp_path_factory, pieces):
    from sentencepiece import sentencepiece_model_pb2 as pb

    message = pb.ModelProto()
    for text, score, kind in pieces:
        message.pieces.add(piece=text, score=score, type=kind)
    path = tmp_path_factory.mktemp("spm") / "m"
    path.write_bytes(message.SerializeToString())
    tree = read(path, open_sentencepiece)
    assert tree["vocab"] == {text: number for number, (text, _, _) in enumerate(pieces)}
    assert tree["scores"] == {text: score for text, score, _ in pieces}
    names = {1: "normal", 2: "unknown", 3: "control", 4: "user_defined", 5: "unused", 6: "byte"}
    last = {text: names[kind] for text, _, kind in pieces}
    assert {text: tree["types"].get(text, "normal") for text in last} == last
    assert len(tree["vocab"]) + len(tree.get("duplicate_tokens", ())) == len(pieces)


def test_tokens_of_tiktoken_are_written_as_byte_level_bpe_writes_them(write):
    alphabet = {chr(0x100 + n) for n in range(68)} | {chr(b) for b in range(256)}
    data = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
    vocab = read(write(data), open_tiktoken)["vocab"]
    assert set(vocab) <= alphabet
    assert set(vocab) == set(pre_tokenizers.ByteLevel.alphabet())
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("a ü\n€")
    assert [vocab[char] for char in pieces[0][0]] == list("a ü\n€".encode())


def test_both_ways_to_write_merges_give_one_tree(write):
    lists = {"model": BPE | {"merges": [["a", "b"], ["a b", "c"]]}}
    texts = {"model": BPE}
    assert read(write(json.dumps(lists)))["merges"] == {"a b": 0, '["a b", "c"]': 1}
    assert read(write(json.dumps(texts)))["merges"] == {"a b": 0}


def test_a_token_or_merge_that_is_there_twice_is_not_dropped(write):
    unigram = {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2], ["a", -3.5]]}
    tree = read(write(json.dumps({"model": unigram})))
    assert (tree["vocab"], tree["duplicate_tokens"]) == ({"a": 2, "b": 1}, [["a", 0, -1.0]])
    tree = read(write("a b\nb c\na b\n"), open_merges)
    assert tree == {"merges": {"a b": 2, "b c": 1}, "duplicate_merges": [["a b", 0]]}
    twice = [{"content": "<x>", "id": 1}, {"content": "<x>", "id": 2}]
    assert read(write(json.dumps({"model": BPE, "added_tokens": twice})))["added_tokens"] == twice


def test_a_merge_that_is_there_twice_has_the_rank_that_it_has_for_the_tokenizer(write):
    merges = [("a", "b"), ("b", "c"), ("a", "b")]
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4}, merges))
    ranks = read(write("".join(f"{left} {right}\n" for left, right in merges)), open_merges)["merges"]
    first = min(ranks, key=ranks.get).replace(" ", "")
    assert first in tokenizer.encode("abc").tokens


def test_added_tokens_in_another_order_are_not_the_same_though_their_ids_are(write):
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    tokenizer.add_tokens(["<x>", "<y>"])
    document = json.loads(tokenizer.to_str())
    turned = document | {"added_tokens": document["added_tokens"][::-1]}
    assert Tokenizer.from_str(json.dumps(turned)).token_to_id("<x>") != tokenizer.token_to_id("<x>")
    assert "added_tokens_order" not in read(write(json.dumps(document)))
    assert read(write(json.dumps(turned)))["added_tokens_order"] == ["<y>", "<x>"]


def test_lines_end_at_newlines_only(write):
    tokens = ["[PAD]", "\u2028", "\x0b", "\x85", "\x1c", ""]
    assert read(write("\n".join([*tokens, ""])), open_vocab_txt)["vocab"] == {t: n for n, t in enumerate(tokens)}
    assert read(write("a\r\nb\r\n"), open_vocab_txt) == {"vocab": {"a": 0, "b": 1}}


@pytest.mark.parametrize(
    ("opener", "data", "offset", "reason"),
    [
        (open_tokenizer, '{"a": 1}', 0, "not a tokenizer.json: it has no 'model'"),
        (open_tokenizer, '{"model": {"vocab": {"a": "0"}}}', 0, "an id in its vocabulary is not a whole number"),
        (open_tokenizer, '{"model": {"vocab": {"a": true}}}', 0, "an id in its vocabulary is not a whole number"),
        (open_tokenizer, '{"model": {"vocab": {"a": 0, "a": 1}}}', 29, 'the key "a" stands twice'),
        (open_tokenizer, '{"model": {"vocab": [["a"]]}}', 0, "is not a text with a score"),
        (open_tokenizer, '{"model": {"vocab": {}, "merges": ["a b c"]}}', 0, "a merge is not two tokens"),
        (open_tokenizer, '{"model": {"vocab": {}, "merges": {}}}', 0, "the 'merges' of its model is not a list"),
        (open_tokenizer, '{"model": {"vocab": {}}, "vocab": 1}', 0, "'vocab' stands outside its 'model'"),
        (open_vocab_json, '{"a": 1.5}', 0, "it is no JSON object of whole numbers"),
        (open_vocab_json, "[]", 0, "it is no JSON object of whole numbers"),
        (open_merges, "#version: 0.2\na b\nü\n", 18, "this line does not hold two tokens"),
        (open_merges, "a b\na b c\n", 4, "this line does not hold two tokens"),
        (open_tiktoken, "IQ== 0\nIg= 1\n", 7, "this line is not base64 and a rank"),
        (open_tiktoken, "IQ== 0\nIQ== 1\n", 7, "the token '!' is there twice"),
        (open_vocab_txt, b"a\n\xff\n", 2, "is not UTF-8 text"),
        (open_sentencepiece, b"\x12\x00", 0, "it has no pieces"),
        (open_sentencepiece, b"\x0a\x03\x0a\x01\xff", 4, "the text in field 1 is not UTF-8"),
        (open_sentencepiece, b"\x0a\x7f\x0a\x01a", 5, "the file ends here"),
        (open_sentencepiece, b"\x0a\x02\x20\x01", 3, "a piece has the unknown field 4"),
    ],
)
def test_what_is_not_of_the_format_is_an_error_with_its_byte(write, opener, data, offset, reason):
    error = refused(write(data), opener)
    assert (error.offset, reason in error.reason) == (offset, True), str(error)


def test_an_unknown_field_of_sentencepiece_is_compared(write):
    assert read(write(b"\x0a\x03\x0a\x01a\xf8\x3f\x07\xf8\x3f\x08"), open_sentencepiece)["field 1023"] == [7, 8]
