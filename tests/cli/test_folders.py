"""Folders: a model and everything beside it, or file by file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from command import DIFFAI, findings_of, report_of, run_diffai
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


def test_a_file_without_content_on_one_side_only_is_a_difference(model: Path) -> None:
    other = copy(model)
    (other / "empty.json").write_text("{}")
    write_safetensors(other / "empty.safetensors.bak", {})
    report = report_of(model, other)
    assert report["exit_code"] == 1
    assert set(findings_of(report, "added")) == {'["empty.json"]', '["empty.safetensors.bak"]'}
    assert run_diffai(other, copy(other, "third")).stdout.startswith("identical files")


def test_a_file_with_tensors_on_one_side_only_is_one_difference_besides_its_tensors(tmp_path: Path) -> None:
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        np.save(tmp_path / side / "x.npy", W)
    np.save(tmp_path / "new" / "y.npy", W)
    report = report_of(tmp_path / "old", tmp_path / "new")
    assert set(findings_of(report, "added")) == {'["y.npy"]'}
    assert set(findings_of(report, "tensor_added")) == {"y.npy:array"}


def test_a_link_to_a_folder_inside_is_entered(model: Path) -> None:
    (model / "step-1").mkdir()
    (model / "step-1" / "state.json").write_text('{"step": 1}')
    (model / "step-2").mkdir()
    (model / "step-2" / "state.json").write_text('{"step": 2}')
    other = shutil.copytree(model, model.parent / "copy", symlinks=True)
    (model / "latest").symlink_to("step-1")
    (other / "latest").symlink_to("step-2")
    report = report_of(model, other, "-r")
    assert report["exit_code"] == 1
    assert set(findings_of(report, "modified")) == {'["latest/state.json"].step'}
    assert report_of(other, other, "-r")["exit_code"] == 0


@pytest.mark.parametrize(
    ("target", "reason"), [(".", "lies in itself"), ("..", "leads out"), ("../outside", "leads out")]
)
def test_a_link_to_a_folder_that_cannot_be_entered_is_never_a_pass(model: Path, target: str, reason: str) -> None:
    (model.parent / "outside").mkdir()
    (model.parent / "outside" / "x.json").write_text("{}")
    (model / "link").symlink_to(target)
    for options in (("-r",), (), ("--include", "*.json")):
        done = run_diffai(model, model, *options)
        assert done.returncode == 3, options
        assert "link/" in done.stdout
        assert reason in done.stdout
    assert run_diffai(model, model, "-r", "--exclude", "link").returncode == 0


def test_links_that_lead_to_each_other_are_entered_once(model: Path) -> None:
    for name, target in (("a", "../b"), ("b", "../a")):
        (model / name).mkdir()
        (model / name / "x.json").write_text("{}")
        (model / name / "link").symlink_to(target)
    report = report_of(model, model, "-r")
    assert report["exit_code"] == 3
    assert [lost["where"] for lost in report["not_compared"]] == ["a/link/link/", "b/link/link/"]


@pytest.mark.parametrize("options", [("--include", "*.json"), ("--exclude", "*.bin"), ()])
def test_chosen_files_of_a_folder_that_is_not_entered_are_never_a_pass(model: Path, options: tuple[str, ...]) -> None:
    (model / "sub" / "deep").mkdir(parents=True)
    (model / "sub" / "deep" / "x.json").write_text("{}")
    done = run_diffai(model, model, *options)
    assert done.returncode == 3
    assert "sub/" in done.stdout
    assert run_diffai(model, model, *options, "-r").returncode == 0
    assert run_diffai(model, model, *options, "--exclude", "sub").returncode == 0
    assert run_diffai(model, model, *options, "--exclude", "sub/").returncode == 0


def test_a_folder_that_holds_no_chosen_file_is_not_mentioned(model: Path) -> None:
    (model / "sub").mkdir()
    (model / "sub" / "x.bin").write_bytes(b"x")
    assert run_diffai(model, model, "--include", "*.json").returncode == 0
    assert run_diffai(model, model, "--exclude", "*.bin").returncode == 0
    assert run_diffai(model, model, "--include", "*.bin", "--include", "*.json").returncode == 3


def test_an_excluded_folder_is_not_entered(model: Path) -> None:
    other = copy(model)
    for folder, text in ((model, "{}"), (other, '{"a": 1}')):
        (folder / "runs" / "logs").mkdir(parents=True)
        (folder / "runs" / "logs" / "x.json").write_text(text)
    assert run_diffai(model, other, "-r").returncode == 1
    for pattern in ("logs", "logs/", "runs/logs", "runs"):
        assert run_diffai(model, other, "-r", "--exclude", pattern).returncode == 0


def test_a_folder_that_cannot_be_listed_is_an_error_that_names_it(model: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may list every folder")
    (model / "sub").mkdir()
    (model / "sub").chmod(0)
    try:
        done = run_diffai(model, model, "-r")
    finally:
        (model / "sub").chmod(0o700)
    assert done.returncode == 2
    assert "model/sub/: permission denied" in done.stdout + done.stderr


@pytest.mark.parametrize("write", ["json", "npy"])
def test_folders_of_many_more_files_than_may_be_open_are_compared(tmp_path: Path, write: str) -> None:
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        for number in range(400):
            path = tmp_path / side / f"{number}.{write}"
            if write == "npy":
                np.save(path, W + number)
            else:
                path.write_text(json.dumps({"number": number}))
    command = f'ulimit -n 200 && exec "{DIFFAI}" old new'
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("identical files")


def test_a_file_damaged_on_one_side_is_trouble_and_not_also_an_addition(model: Path) -> None:
    other = copy(model)
    (other / "config.json").write_text("{")
    for pair in ((model, other), (other, model)):
        done = run_diffai(*pair)
        assert done.returncode == 2
        assert done.stderr.count("config.json") == 1
        assert not [line for line in done.stdout.splitlines() if line.strip()[:1] in {"+", "-"} and "config" in line]
