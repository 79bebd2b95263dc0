"""Models in several files, and folders that hold several models."""

from __future__ import annotations

import math

import gguf
import numpy as np
import pytest

from diffai_core.plugin import LoadError, SeparateFilesError

U8, U16, I32, F32, BOOL = 0, 2, 5, 6, 7
_MODEL = {f"blk.{number}.weight": np.full((2, 32), number, np.float32) for number in range(5)}


def _write(path, split=0):
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split)
    writer.add_name("a model")
    for name, array in _MODEL.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _content(artifact):
    return {name: ref.read().tolist() for name, ref in artifact.tensors.items()}, dict(artifact.tree)


def _refusal(open_path, path):
    with pytest.raises(LoadError) as caught:
        open_path(path).close()
    return caught.value


@pytest.fixture
def parts(tmp_path):
    """A folder with a model in three parts."""
    folder = tmp_path / "parts"
    folder.mkdir()
    _write(folder / "m.gguf", 2)
    assert sorted(path.name for path in folder.iterdir()) == [f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    return folder


def test_a_folder_of_parts_holds_what_the_single_file_holds(tmp_path, open_path, parts):
    _write(tmp_path / "single.gguf")
    with open_path(parts) as many, open_path(tmp_path / "single.gguf") as one:
        assert _content(many) == _content(one)
        assert len(many.files) == 3


def test_a_folder_with_one_file_opens_as_this_file(tmp_path, open_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    _write(folder / "single.GGUF")
    (folder / "README.md").write_text("x", encoding="utf-8")
    (folder / ".hidden.gguf").write_bytes(b"")
    with open_path(folder) as artifact:
        assert list(artifact.tensors) == list(_MODEL)


def test_a_single_part_opens_with_its_tensors(open_path, parts):
    with open_path(parts / "m-00002-of-00003.gguf") as artifact:
        assert list(artifact.tensors) == ["blk.2.weight", "blk.3.weight"]


def test_a_missing_part_is_an_error(open_path, parts):
    (parts / "m-00002-of-00003.gguf").unlink()
    assert _refusal(open_path, parts).reason == "holds 2 of the 3 parts m-*-of-00003.gguf"


def test_a_part_under_a_wrong_name_is_an_error(open_path, parts):
    (parts / "m-00001-of-00003.gguf").rename(parts / "x")
    (parts / "m-00002-of-00003.gguf").rename(parts / "m-00001-of-00003.gguf")
    (parts / "x").rename(parts / "m-00002-of-00003.gguf")
    assert "split.no is 1" in _refusal(open_path, parts).reason


@pytest.mark.parametrize("name", ["other.gguf", "n-00001-of-00001.gguf"])
def test_several_models_are_files_of_their_own(open_path, parts, name):
    _write(parts / name)
    assert isinstance(_refusal(open_path, parts), SeparateFilesError)


def test_parts_that_hold_fewer_tensors_than_they_say_are_an_error(open_path, tmp_path, handmade):
    for number in (0, 1):
        file = handmade().pair("split.no", U16, number).pair("split.count", U16, 2)
        file.pair("split.tensors.count", I32, 3).tensor(f"t{number}", [8], 0)
        (tmp_path / f"m-0000{number + 1}-of-00002.gguf").write_bytes(file.build(bytes(32)))
    assert "split.tensors.count is 3" in _refusal(open_path, tmp_path).reason


def test_a_tensor_in_two_parts_is_an_error(open_path, tmp_path, handmade):
    for number in (0, 1):
        file = handmade().pair("split.no", U16, number).pair("split.count", U16, 2).tensor("t", [8], 0)
        (tmp_path / f"m-0000{number + 1}-of-00002.gguf").write_bytes(file.build(bytes(32)))
    assert _refusal(open_path, tmp_path).reason == "tensor 't' is here and in another part"


def test_parts_that_disagree_about_a_key_keep_both_values(open_path, tmp_path, handmade):
    for number in (0, 1):
        file = handmade().pair("split.no", U16, number).pair("split.count", U16, 2).pair("a", U16, number)
        (tmp_path / f"m-0000{number + 1}-of-00002.gguf").write_bytes(file.tensor(f"t{number}", [8], 0).build(bytes(32)))
    with open_path(tmp_path) as artifact:
        assert artifact.tree == {"a": {"m-00001-of-00002.gguf": 0, "m-00002-of-00002.gguf": 1}}


def test_parts_agree_about_a_key_that_is_nan_and_disagree_where_one_says_true_and_one_says_1(
    open_path, tmp_path, handmade
):
    for number, kind in enumerate((BOOL, U8)):
        file = handmade().pair("split.no", U16, number).pair("split.count", U16, 2).pair("n", F32, math.nan)
        file.pair("a", kind, 1).tensor(f"t{number}", [8], 0)
        (tmp_path / f"m-0000{number + 1}-of-00002.gguf").write_bytes(file.build(bytes(32)))
    with open_path(tmp_path) as artifact:
        assert math.isnan(artifact.tree["n"])
        told = artifact.tree["a"]
    assert [type(value) for value in told.values()] == [bool, int]
