"""Checkpoints in several files: shards with and without an index, and distributed checkpoints."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from pytorch_files import assert_same, save_distributed

from diffai_core.plugin import FileTensor, SeparateFilesError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.weight": torch.ones(4), "c.bias": torch.zeros(2)}
SHARDS = {"pytorch_model-00001-of-00002.bin": ["a.weight", "b.weight"], "pytorch_model-00002-of-00002.bin": ["c.bias"]}
INDEX = "pytorch_model.bin.index.json"


@pytest.fixture
def folder(tmp_path):
    """Write the shards and their index; return a function that writes another index."""
    for label, names in SHARDS.items():
        torch.save({name: STATE[name] for name in names}, tmp_path / label)

    def write(**changes):
        weight_map = {name: label for label, names in SHARDS.items() for name in names} | changes
        index = {"metadata": {"total_size": 48}, "weight_map": {k: v for k, v in weight_map.items() if v}}
        (tmp_path / INDEX).write_text(json.dumps(index), encoding="utf-8")
        return tmp_path

    write()
    return write


@pytest.mark.parametrize("name", ["", INDEX])
def test_shards_with_an_index_are_one_model(folder, opened, name):
    artifact = opened(folder() / name)
    assert set(artifact.tensors) == set(STATE)
    for key, tensor in STATE.items():
        assert_same(artifact.tensors[key], tensor)
    assert len(artifact.files) == 3


def test_shards_without_an_index_are_one_model(folder, opened):
    path = folder()
    (path / INDEX).unlink()
    assert set(opened(path).tensors) == set(STATE)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "diffusion_pytorch_model.bin"])
def test_a_single_file_in_a_folder_is_the_model(tmp_path, opened, name):
    torch.save(STATE, tmp_path / name)
    torch.save({"lr": 0.1}, tmp_path / "training_args.bin")
    assert set(opened(tmp_path).tensors) == set(STATE)


@pytest.mark.parametrize(
    "label", ["../out.bin", "/etc/passwd", "missing.bin", "a/../../out.bin", "x" * 5000, "C:\\x", "a\0b"]
)
def test_a_shard_that_is_missing_or_outside_of_the_folder_is_an_error(folder, refused, tmp_path, label):
    torch.save(STATE, tmp_path.parent / "out.bin")
    refused(folder(**{"c.bias": label}))


def test_a_shard_that_is_a_link_out_of_the_folder_is_an_error(folder, refused, tmp_path):
    torch.save(STATE, tmp_path.parent / "out.bin")
    (tmp_path / "link.bin").symlink_to(tmp_path.parent / "out.bin")
    assert "leads out of the folder" in refused(folder(**{"c.bias": "link.bin"})).reason


@pytest.mark.parametrize(
    "change",
    [{"c.bias": "pytorch_model-00001-of-00002.bin"}, {"d": "pytorch_model-00001-of-00002.bin"}, {"b.weight": ""}],
)
def test_an_index_that_contradicts_the_shards_is_an_error(folder, refused, change):
    refused(folder(**change))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": 5}', '{"weight_map": {"a": 5}}', "[" * 100_000])
def test_an_index_that_is_none_is_an_error(folder, refused, text):
    path = folder()
    (path / INDEX).write_text(text, encoding="utf-8")
    refused(path)


def test_a_numbered_shard_that_is_missing_is_noticed_without_an_index(folder, refused):
    path = folder()
    (path / INDEX).unlink()
    (path / "pytorch_model-00002-of-00002.bin").unlink()
    assert "holds 1 of the 2 files" in refused(path).reason


def test_two_indexes_are_an_error(folder, refused):
    path = folder()
    (path / "other.bin.index.json").write_text("{}", encoding="utf-8")
    assert "holds 2 indexes" in refused(path).reason


def test_a_tensor_in_two_files_means_that_they_are_two_models(tmp_path, opened):
    torch.save(STATE, tmp_path / "pytorch_model.bin")
    torch.save(STATE, tmp_path / "pytorch_model_old.bin")
    with pytest.raises(SeparateFilesError):
        opened(tmp_path)


# -- distributed checkpoints -----------------------------------------------------------------------------------


@pytest.fixture
def distributed(tmp_path):
    state = {
        "model": {**STATE, "turned": torch.arange(6.0).reshape(2, 3).T, "number": torch.tensor(5)},
        "optimizer": {"state": {"0": {"exp_avg": torch.ones(2)}}},
        "step": 7,
        "name": "run",
    }
    save_distributed(state, tmp_path / "dcp")
    return state


def test_a_distributed_checkpoint_is_the_state_that_was_saved(tmp_path, opened, distributed):
    artifact = opened(tmp_path / "dcp")
    for name, tensor in distributed["model"].items():
        assert_same(artifact.tensors[f"model.{name}"], tensor)
    assert artifact.tensors["optimizer.state.0.exp_avg"].role == "optimizer"
    assert isinstance(artifact.tensors["model.a.weight"], FileTensor)
    assert (artifact.tree["step"], artifact.tree["name"]) == (7, "run")
    assert artifact.foreign == ()


def test_a_distributed_checkpoint_without_its_metadata_is_an_error(tmp_path, refused, distributed):
    (tmp_path / "dcp" / ".metadata").unlink()
    assert refused(tmp_path / "dcp").path.endswith(".metadata")


def rewritten(path, change):
    """Change the metadata of a checkpoint."""
    metadata = pickle.loads((path / ".metadata").read_bytes())
    change(metadata)
    (path / ".metadata").write_bytes(pickle.dumps(metadata))


def in_parts(tmp_path, boxes):
    """Write a tensor in parts, as several processes do; return it."""
    tensor = torch.arange(60.0).reshape(6, 10)
    parts = {f"part{i}": tensor[a:b, c:d].contiguous() for i, (a, b, c, d) in enumerate(boxes)}
    save_distributed(parts, tmp_path / "dcp")

    def change(metadata):
        from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex

        entry = metadata.state_dict_metadata["part0"]
        entry.size = tensor.size()
        entry.chunks = [ChunkStorageMetadata(torch.Size((a, c)), torch.Size((b - a, d - c))) for a, b, c, d in boxes]
        metadata.state_dict_metadata = {"w": entry}
        infos = {index.fqn: info for index, info in metadata.storage_data.items()}
        metadata.storage_data = {
            MetadataIndex("w", torch.Size((box[0], box[2])), i): infos[f"part{i}"] for i, box in enumerate(boxes)
        }
        metadata.planner_data = None

    rewritten(tmp_path / "dcp", change)
    return tensor


GRID = [(0, 3, 0, 4), (0, 3, 4, 10), (3, 6, 0, 4), (3, 6, 4, 10)]


@pytest.mark.parametrize(
    "boxes", [[(0, 2, 0, 10), (2, 6, 0, 10)], [(0, 6, 0, 3), (0, 6, 3, 10)], GRID, [(0, 6, 0, 10)]]
)
def test_a_tensor_in_parts_is_put_together(tmp_path, opened, boxes):
    tensor = in_parts(tmp_path, boxes)
    artifact = opened(tmp_path / "dcp")
    assert list(artifact.tensors) == ["w"]
    assert_same(artifact.tensors["w"], tensor)


@pytest.mark.parametrize("boxes", [GRID[:3], [(0, 4, 0, 10), (3, 5, 0, 10)], [*GRID, (1, 2, 1, 2)]])
def test_parts_that_overlap_or_leave_holes_are_an_error(tmp_path, refused, boxes):
    in_parts(tmp_path, boxes)
    assert "the parts of tensor" in refused(tmp_path / "dcp").reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offset", 1 << 60),
        ("offset", -1),
        ("length", 1 << 60),
        ("length", 3),
        ("relative_path", "../x"),
        ("relative_path", 5),
    ],
)
def test_a_part_that_is_not_where_it_is_said_to_be_is_an_error(tmp_path, refused, distributed, field, value):
    (tmp_path / "x").write_bytes(bytes(100))

    def change(metadata):
        object.__setattr__(next(iter(metadata.storage_data.values())), field, value)

    rewritten(tmp_path / "dcp", change)
    refused(tmp_path / "dcp")


@pytest.mark.parametrize("offset", [5, "x", (1.5,), ((1,),), {"a": 1}])
def test_a_part_at_a_place_that_is_none_is_an_error(tmp_path, refused, distributed, offset):
    def change(metadata):
        index = next(iter(metadata.storage_data))
        info = metadata.storage_data.pop(index)
        object.__setattr__(index, "offset", None)
        metadata.storage_data[index] = info
        object.__setattr__(index, "offset", offset)

    rewritten(tmp_path / "dcp", change)
    refused(tmp_path / "dcp")


@pytest.mark.parametrize("field", ["size", "chunks", "properties"])
def test_a_description_of_a_tensor_that_is_damaged_is_an_error(tmp_path, refused, distributed, field):
    def change(metadata):
        setattr(next(iter(metadata.state_dict_metadata.values())), field, 5)

    rewritten(tmp_path / "dcp", change)
    refused(tmp_path / "dcp")
