"""Damaged, hostile and missing input: one line that names file, place and reason, exit code 2, no traceback."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import run_diffai
from safetensors_files import write_safetensors

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def raw(header: bytes, payload: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + payload


def header(**tensors: Any) -> bytes:
    return json.dumps(tensors).encode()


DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "five_bytes": (b"\x10\0\0\0\0", ""),
    "header_longer_than_the_file": (raw(header(x=F32), length=2**53), "byte "),
    "hundred_megabyte_header": (raw(header(x=F32), length=100_000_001), "byte "),
    "header_is_not_json": (raw(b'{"x": tensor}'), "byte "),
    "header_is_a_list": (raw(b"[1, 2, 3, 4]"), ""),
    "truncated_payload": (raw(header(x=F32), b"\0" * 7), "byte "),
    "bytes_left_over": (raw(header(x=F32), b"\0" * 9), "byte "),
    "overlap": (raw(header(x=F32, y=F32)), ""),
    "hole": (raw(header(x=F32, y={**F32, "data_offsets": [12, 20]}), b"\0" * 20), ""),
    "duplicate_key": (raw(b'{"x":%b,"x":%b}' % ((json.dumps(F32).encode(),) * 2)), "'x'"),
    "offsets_past_the_end": (raw(header(x={**F32, "data_offsets": [0, 2**60]})), ""),
    "negative_offsets": (raw(header(x={**F32, "data_offsets": [-8, 0]})), ""),
    "shape_times_dtype_is_not_the_size": (raw(header(x={**F32, "shape": [3]})), ""),
    "shape_overflows": (raw(header(x={**F32, "shape": [2**62, 2**62]})), ""),
    "unknown_dtype": (raw(header(x={**F32, "dtype": "F33"})), "F33"),
    "deep_nesting": (raw(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), ""),
}


def refused(done: subprocess.CompletedProcess[str], *words: str) -> str:
    """Check that the command refused in one line naming ``words``; return the line."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("diffai: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    return done.stderr


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_safetensors_file_is_refused(case: str, tmp_path: Path) -> None:
    good = write_safetensors(tmp_path / "good.safetensors", {"x": np.zeros(2, np.float32)})
    bad = tmp_path / "bad.safetensors"
    content, words = DAMAGED[case]
    bad.write_bytes(content)
    for paths in ((good, bad), (bad, good), (bad, bad)):
        refused(run_diffai(*paths), "bad.safetensors", words)


def test_the_traceback_is_shown_with_debug(tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 64)
    done = run_diffai(tmp_path / "bad.safetensors", tmp_path / "bad.safetensors", "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    good = write_safetensors(tmp_path / "good.safetensors", {"x": np.zeros(2, np.float32)})
    os.mkfifo(tmp_path / "pipe")
    refused(run_diffai(good, tmp_path / "pipe"), "pipe", "not a regular file")


def test_unknown_content_names_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    refused(run_diffai(tmp_path / "photo.png", tmp_path / "photo.png"), "photo.png", "--input-format")


def test_a_format_whose_plugin_is_missing_names_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    done = run_diffai(tmp_path / "model.gguf", tmp_path / "model.gguf", DIFFAI_DISABLE="load-gguf")
    refused(done, "GGUF", "diffai-load-gguf")


def sharded(folder: Path, weight_map: dict[str, str]) -> Path:
    folder.mkdir()
    write_safetensors(folder / "one.safetensors", {"x": np.zeros(2, np.float32)})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "missing.safetensors", "..\\x.safetensors"])
def test_an_index_that_names_a_shard_outside_or_missing_is_refused(shard: str, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "outside.safetensors", {"y": np.zeros(2, np.float32)})
    folder = sharded(tmp_path / "model", {"x": "one.safetensors", "y": shard})
    assert "model" in refused_beside_others(run_diffai(folder, folder))


def test_a_shard_that_links_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = write_safetensors(tmp_path / "outside.safetensors", {"y": np.zeros(2, np.float32)})
    folder = sharded(tmp_path / "model", {"x": "one.safetensors", "y": "two.safetensors"})
    (folder / "two.safetensors").symlink_to(outside)
    told = refused_beside_others(run_diffai(folder, folder))
    assert "two.safetensors" in told
    assert "out of the folder" in told


def refused_beside_others(done: subprocess.CompletedProcess[str]) -> str:
    """Check that refusals stand beside the comparison of the shard that is there; return them."""
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stdout.startswith("inconclusive: no difference found")
    return done.stderr


def test_a_folder_of_nothing_readable_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    refused(run_diffai(folder, folder), "photos")
    (folder / "a.png").write_bytes(b"\x89PNG")
    refused(run_diffai(folder, folder), "photos", "no file in the folder can be read")


def test_the_other_files_of_a_folder_are_compared_beside_a_damaged_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "good.npy", np.arange(3))
        (tmp_path / name / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00")
    np.save(tmp_path / "new" / "good.npy", np.arange(3) + 1)
    done = run_diffai(tmp_path / "old", tmp_path / "new")
    assert done.returncode == 2
    assert "bad.npy" in done.stderr
    assert "~ good.npy:array" in done.stdout


def test_a_flipped_bit_in_a_deflated_array_is_an_error_that_names_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    np.savez_compressed(good, x=np.arange(50_000) % 97)
    content = bytearray(good.read_bytes())
    content[len(content) // 2] ^= 4
    bad.write_bytes(content)
    for paths in ((good, bad), (bad, good), (bad, bad)):
        done = run_diffai(*paths)
        assert done.returncode == 2
        assert "bad.npz" in done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout.startswith(("identical", "equal"))
