"""Folders: shards with and without an index, and indexes that lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from diffai_load_safetensors.loader import open_safetensors
from safetensors.numpy import save_file

from diffai_core.plugin import SeparateFilesError, Source

_MODEL = {f"layer.{i}.weight": np.arange(12, dtype=np.float32).reshape(3, 4) + i for i in range(6)}
_INDEX = "model.safetensors.index.json"


def _shard(folder, n_shards, metadata=None, stem="model", index=_INDEX):
    """Save the model as Hugging Face does and return the index."""
    names = sorted(_MODEL)
    weight_map = {}
    for number in range(n_shards):
        part = {name: _MODEL[name] for name in names[number::n_shards]}
        file = f"{stem}-{number + 1:05d}-of-{n_shards:05d}.safetensors"
        save_file(part, folder / file, metadata or {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    content = {"metadata": {"total_size": sum(a.nbytes for a in _MODEL.values())}, "weight_map": weight_map}
    _write_index(folder / index, content)
    return content


def _write_index(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")


def _descriptors():
    return {(link.name, link.readlink()) for link in Path("/dev/fd").iterdir() if link.is_symlink()}


def _content(artifact):
    return {name: (ref.dtype.name, ref.shape, ref.read().tobytes()) for name, ref in artifact.tensors.items()}


_TRUTH = {name: ("float32", (3, 4), array.tobytes()) for name, array in _MODEL.items()}


@pytest.mark.parametrize("n_shards", [1, 2, 3, 6])
def test_a_sharded_folder_has_the_tensors_and_the_tree_of_the_single_file(tmp_path, open_path, n_shards):
    folder = tmp_path / "folder"
    folder.mkdir()
    _shard(folder, n_shards)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    save_file(_MODEL, tmp_path / "single.safetensors", {"format": "pt"})
    with open_path(folder) as sharded, open_path(tmp_path / "single.safetensors") as single:
        assert _content(sharded) == _content(single) == _TRUTH
        assert sharded.tree == single.tree == {"__metadata__": {"format": "pt"}}
        assert sharded.name == str(folder)
        assert {Path(file.path).name for file in sharded.files} == {
            entry.name for entry in folder.iterdir() if entry.name != "config.json"
        }
        assert sharded.not_readable == ()


def test_the_index_itself_can_be_passed_under_any_name(tmp_path, open_path):
    _shard(tmp_path, 2)
    (tmp_path / _INDEX).rename(tmp_path / "renamed")
    with open_path(tmp_path / "renamed") as artifact:
        assert _content(artifact) == _TRUTH
        assert artifact.name == str(tmp_path / "renamed")


def test_an_index_in_the_working_directory_finds_its_shards(tmp_path, open_path, monkeypatch):
    _shard(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    with open_safetensors(Source(_INDEX), {}) as artifact:
        assert _content(artifact) == _TRUTH


def test_several_indexes_in_a_folder_are_listed_and_each_can_be_passed(tmp_path, open_path, refusal):
    _shard(tmp_path, 2)
    _shard(tmp_path, 3, stem="model.fp16", index="model.fp16.safetensors.index.json")
    error = refusal(tmp_path)
    assert error.reason == f"holds 2 indexes: model.fp16.safetensors.index.json, {_INDEX}; pass one of these files"
    for index in tmp_path.glob("*.index.json"):
        with open_path(index) as artifact:
            assert _content(artifact) == _TRUTH
            assert artifact.not_readable == ()


def test_a_folder_with_one_file_and_no_index_opens(tmp_path, open_path):
    save_file(_MODEL, tmp_path / "model.safetensors")
    (tmp_path / "._model.safetensors").write_bytes(b"what a Mac leaves behind")
    with open_path(tmp_path) as artifact:
        assert _content(artifact) == _TRUTH


def test_shards_without_an_index_open_as_one(tmp_path, open_path):
    _shard(tmp_path, 3)
    (tmp_path / _INDEX).unlink()
    with open_path(tmp_path) as artifact:
        assert _content(artifact) == _TRUTH
        assert len(artifact.files) == 3


def test_numbered_shards_without_an_index_must_all_be_there(tmp_path, refusal):
    _shard(tmp_path, 3)
    (tmp_path / _INDEX).unlink()
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert refusal(tmp_path).reason == "holds 2 of the 3 files model-*-of-00003.safetensors, and no index"


def test_a_tensor_in_two_files_without_an_index_is_an_error_that_names_both(tmp_path, refusal):
    save_file(_MODEL, tmp_path / "a.safetensors")
    save_file({"other": np.ones(1), "layer.3.weight": np.ones(1)}, tmp_path / "b.safetensors")
    error = refusal(tmp_path)
    assert isinstance(error, SeparateFilesError)
    assert error.path == str(tmp_path / "b.safetensors")
    assert f"'layer.3.weight' is here and in {tmp_path / 'a.safetensors'}; pass one of the files" in error.reason


def test_a_folder_without_tensors_is_an_error(tmp_path, refusal):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert refusal(tmp_path).reason == "holds no *.safetensors file"


def test_a_file_that_the_index_does_not_name_is_left_to_the_core(tmp_path, open_path):
    _shard(tmp_path, 2)
    save_file({"extra": np.ones(1)}, tmp_path / "consolidated.safetensors")
    with open_path(tmp_path) as artifact:
        assert _content(artifact) == _TRUTH
        assert "consolidated.safetensors" not in {Path(file.path).name for file in artifact.files}


def test_metadata_of_shards_is_merged_and_a_conflict_keeps_each_value_by_file(tmp_path, open_path):
    save_file({"a": np.ones(1)}, tmp_path / "x.safetensors", {"format": "pt", "step": "1", "only": "x"})
    save_file({"b": np.ones(1)}, tmp_path / "y.safetensors", {"format": "pt", "step": "2"})
    save_file({"c": np.ones(1)}, tmp_path / "z.safetensors")
    with open_path(tmp_path) as artifact:
        assert artifact.tree == {
            "__metadata__": {"format": "pt", "only": "x", "step": {"x.safetensors": "1", "y.safetensors": "2"}}
        }


def test_a_hugging_face_cache_of_links_into_its_blobs_opens(tmp_path, open_path):
    snapshot, blobs = tmp_path / "models--x" / "snapshots" / "0a1b", tmp_path / "models--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    _shard(snapshot, 2)
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(f"../../blobs/{number}")
    for path in (snapshot, snapshot / _INDEX):
        with open_path(path) as artifact:
            assert _content(artifact) == _TRUTH


# -- indexes and folders that lie ------------------------------------------------------------------------------


def _moved(content):
    shards = sorted(set(content["weight_map"].values()))
    content["weight_map"]["layer.0.weight"] = shards[1]


def _added(content):
    content["weight_map"]["ghost"] = content["weight_map"]["layer.0.weight"]


def _left_out(content):
    del content["weight_map"]["layer.0.weight"]


def _renamed(content):
    content["weight_map"]["layer.0.weight"] = "no.safetensors"


_LIES = {
    "tensor in another shard": (
        _moved, "model-00001-of-00002.safetensors", "has it in 'model-00002-of-00002.safetensors'"
    ),
    "tensor that is nowhere": (_added, _INDEX, "'ghost' in 'model-00001-of-00002.safetensors', which does not hold it"),
    "tensor that the index leaves out": (_left_out, "model-00001-of-00002.safetensors", "does not name it"),
    "missing shard": (_renamed, "no.safetensors", f"no such file or directory; {_INDEX} names it"),
}  # fmt: skip


@pytest.mark.parametrize("case", _LIES)
def test_an_index_that_contradicts_its_shards_is_refused(tmp_path, refusal, case):
    change, file, words = _LIES[case]
    content = _shard(tmp_path, 2)
    change(content)
    _write_index(tmp_path / _INDEX, content)
    error = refusal(tmp_path)
    assert error.path == str(tmp_path / file)
    assert words in error.reason
    if file.startswith("model-0"):
        with (tmp_path / file).open("rb") as stream:
            stream.seek(error.offset)
            assert stream.read(48) == _MODEL["layer.0.weight"].tobytes()


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "", "x\0y", "link.safetensors"]
)
def test_a_shard_outside_the_folder_is_refused_and_never_opened(tmp_path, refusal, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file({"w": np.ones(1)}, tmp_path / "x.safetensors")
    (folder / "link.safetensors").symlink_to(tmp_path / "x.safetensors")
    _write_index(folder / _INDEX, {"weight_map": {"w": name}})
    error = refusal(folder)
    assert error.path == str(folder / _INDEX)
    assert "not inside the folder" in error.reason or "leads out of the folder" in error.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loop.safetensors", "symbolic links"),
        ("x" * 300, "too long"),
        ("x" * 5_000_000, "longer than a path can be"),
        (".", "is a directory"),
    ],
    ids=["circle of links", "name too long", "endless name", "the folder itself"],
)
def test_a_shard_that_cannot_be_opened_is_one_line(tmp_path, refusal, name, words):
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    _write_index(tmp_path / _INDEX, {"weight_map": {"w": name}})
    error = refusal(tmp_path)
    assert words in error.reason
    assert _INDEX in str(error)
    assert len(str(error)) < 1000


def test_a_circle_of_links_in_a_folder_without_an_index_is_refused(tmp_path, refusal):
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    assert "symbolic links" in refusal(tmp_path).reason


def test_an_index_may_begin_its_names_with_a_dot(tmp_path, open_path):
    save_file(_MODEL, tmp_path / "x.safetensors")
    _write_index(tmp_path / _INDEX, {"weight_map": dict.fromkeys(_MODEL, "./x.safetensors")})
    with open_path(tmp_path) as artifact:
        assert _content(artifact) == _TRUTH
        assert artifact.not_readable == ()


def test_one_shard_under_two_names_is_refused(tmp_path, refusal):
    save_file({"a": np.ones(1), "b": np.ones(1)}, tmp_path / "x.safetensors")
    _write_index(tmp_path / _INDEX, {"weight_map": {"a": "x.safetensors", "b": "./x.safetensors"}})
    assert "the index" in refusal(tmp_path).reason


# Words of the error, the text where it points (None: the file as a whole), the index.
_BAD_INDEXES = {
    "empty": ("not a JSON object", "", ""),
    "list": ("not a JSON object", "[", "[]"),
    "no map": ('no "weight_map"', None, '{"metadata": {}}'),
    "map a list": ("not a JSON object", "[", '{"weight_map": []}'),
    "shard a number": ("not a JSON string", "7", '{"weight_map": {"a": 7}}'),
    "tensor twice": ("'a' is there twice", '"a": "y"', '{"weight_map": {"a": "x", "a": "y"}}'),
    "map twice": ("'weight_map' is there twice", '"weight_map":{"b', '{"weight_map":{"a":"x"},"weight_map":{"b":"x"}}'),
    "text behind": ("after the closing brace", "x", '{"weight_map": {}} x'),
    "cut short": ("a comma or a closing brace", None, '{"weight_map": {"a": "x"'),
    "metadata no JSON": ("not JSON", "?", '{"metadata": ?, "weight_map": {}}'),
    "metadata nested deeply": ("nested too deeply", "[", '{"metadata": ' + "[" * 50_000 + ', "weight_map": {}}'),
    "metadata endless": ("more than 65,536 bytes", "[", '{"metadata": [' + "[]," * 50_000 + '], "weight_map": {}}'),
}


@pytest.mark.parametrize("case", _BAD_INDEXES)
def test_a_bad_index_is_refused_with_its_name_and_the_place(tmp_path, refusal, case):
    words, place, text = _BAD_INDEXES[case]
    _write_index(tmp_path / _INDEX, text)
    error = refusal(tmp_path)
    assert error.path == str(tmp_path / _INDEX)
    assert words in error.reason
    if place is not None:
        assert error.offset == text.index(place)


def test_an_index_that_is_not_utf8_is_refused(tmp_path, refusal):
    (tmp_path / _INDEX).write_bytes(b'{"metadata": "\xff", "weight_map": {}}')
    error = refusal(tmp_path)
    assert error.reason == "not valid UTF-8"
    assert error.offset == 14


def test_a_huge_index_is_refused_before_it_is_read(tmp_path, refusal):
    with (tmp_path / _INDEX).open("wb") as stream:
        stream.truncate(1 << 40)  # a sparse file
    assert "an index of 1,099,511,627,776 bytes" in refusal(tmp_path).reason


def test_a_shard_that_is_a_pipe_is_refused_without_waiting(tmp_path, refusal):
    os.mkfifo(tmp_path / "x.safetensors")
    _write_index(tmp_path / _INDEX, {"weight_map": {"a": "x.safetensors"}})
    assert "is not a regular file" in refusal(tmp_path).reason


@pytest.mark.parametrize("cut", [0, 9, 100, -1])
def test_a_truncated_shard_is_an_error_that_names_it_and_its_end(tmp_path, refusal, cut):
    _shard(tmp_path, 3)
    shard = tmp_path / "model-00003-of-00003.safetensors"
    data = shard.read_bytes()[:cut]
    shard.write_bytes(data)
    error = refusal(tmp_path)
    assert error.path == str(shard)
    assert error.offset == len(data)


@pytest.mark.parametrize("damage", ["truncated shard", "missing shard", "bad index", "lying index"])
def test_no_file_stays_open_after_an_error(tmp_path, refusal, damage):
    content = _shard(tmp_path, 3)
    last = tmp_path / "model-00003-of-00003.safetensors"
    if damage == "truncated shard":
        os.truncate(last, 20)
    elif damage == "missing shard":
        last.unlink()
    elif damage == "bad index":
        _write_index(tmp_path / _INDEX, "{")
    else:
        _left_out(content)
        _write_index(tmp_path / _INDEX, content)
    before = _descriptors()
    refusal(tmp_path)
    assert _descriptors() == before
