"""Folders: a model and everything beside it, or file by file."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from command import run_diffai
from safetensors_files import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

W = np.random.default_rng(9).standard_normal((6, 4)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder like those of a model hub."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", {"a.w": W, "b.w": W + 1})
    (folder / "config.json").write_text(json.dumps({"hidden": 4, "act": "gelu"}))
    (folder / "notes.bin").write_bytes(b"\x07anything")
    return folder


def copy(folder: Path, name: str = "copy") -> Path:
    return shutil.copytree(folder, folder.parent / name)


def shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "s-1.safetensors", {"b.w": W + 1})
    write_safetensors(folder / "s-2.safetensors", {"a.w": W})
    index = {"metadata": {"total_size": 192}, "weight_map": {"a.w": "s-2.safetensors", "b.w": "s-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_copied_folder_is_identical_files(model: Path) -> None:
    done = run_diffai(model, copy(model))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("identical files: 2 tensors")


def test_a_config_beside_equal_tensors_is_compared(model: Path) -> None:
    other = copy(model)
    (other / "config.json").write_text(json.dumps({"hidden": 8, "act": "gelu"}))
    done = run_diffai(model, other)
    assert done.returncode == 1
    assert done.stdout.startswith("identical tensors: 2 tensors equal bit for bit; files differ in metadata")
    assert ".hidden: 4 -> 8" in done.stdout


def test_a_config_that_is_only_written_differently_is_no_difference(model: Path) -> None:
    other = copy(model)
    (other / "config.json").write_text(json.dumps({"act": "gelu", "hidden": 4}, indent=2))
    done = run_diffai(model, other)
    assert done.returncode == 0
    assert done.stdout.startswith("identical tensors: 2 tensors equal bit for bit; files differ in ")


def test_a_file_that_no_plugin_reads_is_compared_by_its_bytes(model: Path) -> None:
    other = copy(model)
    (other / "notes.bin").write_bytes(b"\x07something else")
    done = run_diffai(model, other)
    assert done.returncode == 1
    assert "notes.bin" in done.stdout


def test_another_sharding_is_identical_tensors(model: Path) -> None:
    other = copy(model)
    shard(other)
    for pair in ((model, other), (other, model)):
        done = run_diffai(*pair)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("identical tensors: 2 tensors equal bit for bit; files differ in sharding")
    assert run_diffai(other, copy(other, "third")).stdout.startswith("identical files")
    assert run_diffai(other / "model.safetensors.index.json", model / "model.safetensors").returncode == 0


def test_a_file_against_a_folder_of_the_same_tensors_says_what_is_beside_them(model: Path) -> None:
    done = run_diffai(model / "model.safetensors", model)
    assert done.returncode == 1
    assert "config.json" in done.stdout
    assert "~ a.w" not in done.stdout


def test_a_folder_inside_is_not_passed_over_in_silence(model: Path) -> None:
    (model / "onnx").mkdir()
    (model / "onnx" / "x.bin").write_bytes(b"1")
    other = copy(model)
    done = run_diffai(model, other)
    assert done.returncode == 3
    assert "onnx/" in done.stdout
    assert "--recursive" in done.stdout
    assert run_diffai(model, other, "-r").stdout.startswith("identical files")
    (other / "onnx" / "x.bin").write_bytes(b"2")
    assert run_diffai(model, other, "--recursive").returncode == 1


def test_checkpoints_of_one_model_side_by_side_are_compared_file_by_file(tmp_path: Path) -> None:
    for name, step in (("old", 0), ("new", 1)):
        (tmp_path / name).mkdir()
        write_safetensors(tmp_path / name / "epoch_1.safetensors", {"w": W})
        write_safetensors(tmp_path / name / "epoch_2.safetensors", {"w": W + step})
    done = run_diffai(tmp_path / "old", tmp_path / "new")
    assert done.returncode == 1
    assert done.stdout.startswith("different: 1 of 2 tensors changed, 1 identical")
    assert "~ epoch_2.safetensors:w:" in done.stdout


def test_include_and_exclude_choose_files(model: Path) -> None:
    other = copy(model)
    (other / "config.json").write_text("{}")
    np.save(model / "x.npy", W)
    np.save(other / "x.npy", W)
    assert run_diffai(model, other, "--exclude", "*.json").returncode == 0
    assert run_diffai(model, other, "--include", "*.json").returncode == 1
    assert run_diffai(model, other, "--include", "*.npy", "--include", "*.safetensors").returncode == 0
    assert run_diffai(model, other, "--include", "*.nothing").returncode == 2


def test_what_version_control_and_file_managers_leave_is_no_content(model: Path) -> None:
    other = copy(model)
    (other / ".git").mkdir()
    (other / ".DS_Store").write_bytes(b"x")
    (other / "._model.safetensors").write_bytes(b"x")
    assert run_diffai(model, other).returncode == 0


def test_a_file_only_on_one_side_is_a_difference(model: Path) -> None:
    other = copy(model)
    (other / "extra.txt").write_text("x")
    done = run_diffai(model, other)
    assert done.returncode == 1
    assert "extra.txt" in done.stdout
