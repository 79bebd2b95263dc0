"""A published tokenizer against what the tokenizers library reads from it, and a change that the report must show."""

from __future__ import annotations

import json

import pytest
from command import run_diffai

from diffai_core.plugin import Source

pytestmark = pytest.mark.real


def opened(path):
    from diffai_load_tokenizer.fast import open_tokenizer

    return open_tokenizer(Source(path), {})


def test_a_published_tokenizer_has_the_vocabulary_that_its_library_reads(model):
    tokenizers = pytest.importorskip("tokenizers")
    path = model("wordllama-tokenizer")
    library = tokenizers.Tokenizer.from_file(str(path))
    with opened(path) as artifact:
        assert artifact.tree["vocab"] == library.get_vocab(with_added_tokens=False)
        assert {token: entry["id"] for token, entry in artifact.tree["added_tokens"].items()} == {
            added.content: number for number, added in library.get_added_tokens_decoder().items()
        }
        raw = json.loads(path.read_text(encoding="utf-8"))
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in raw["model"]["merges"]]
        assert artifact.tree["merges"] == {merge: rank for rank, merge in enumerate(merges)}


def test_two_exchanged_merges_and_a_new_token_of_a_published_tokenizer_are_all_that_is_reported(model, tmp_path):
    path = model("wordllama-tokenizer")
    raw = json.loads(path.read_text(encoding="utf-8"))
    merges = raw["model"]["merges"]
    merges[10], merges[11] = merges[11], merges[10]
    raw["model"]["vocab"]["<planted>"] = 999_999
    (tmp_path / "tokenizer.json").write_text(json.dumps(raw), encoding="utf-8")
    done = run_diffai(str(path), str(tmp_path / "tokenizer.json"), "--output", "json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    changed = {change["path"] if isinstance(change, dict) else change[0] for one in found for change in one.values()}
    assert len(changed) == 3
    assert any("<planted>" in path for path in changed)
