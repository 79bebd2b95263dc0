"""Files written by the formats' own libraries are recognised, so that a message names what to install."""

from __future__ import annotations

import json
import pickle
import re
import sqlite3
import warnings
from contextlib import closing

import numpy as np
import pytest
from subjects import subjects

from diffai_core.known import KNOWN, known_by_content, known_by_name, known_by_suffix


def recognised(path):
    content = path.read_bytes()
    known = known_by_content(content[:4096], len(content))
    return known.name if known else None


def save_safetensors(path, tensors):
    from safetensors.numpy import save_file

    save_file(tensors, path)


def save_numpy(path, save):
    with path.open("wb") as file:
        save(file, np.ones(3))


def save_torch(path, **options):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(3)}, path, **options)


def save_sqlite(path):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table t (x)")


WRITERS = {
    "safetensors": lambda path: save_safetensors(path, {"w": np.ones(3)}),
    "safetensors of nothing": lambda path: save_safetensors(path, {}),
    "numpy": lambda path: save_numpy(path, np.save),
    "numpy stored": lambda path: save_numpy(path, np.savez),
    "numpy deflated": lambda path: save_numpy(path, np.savez_compressed),
    "pytorch": save_torch,
    "pytorch legacy": lambda path: save_torch(path, _use_new_zipfile_serialization=False),
    "pickle": lambda path: path.write_bytes(pickle.dumps([1.0], protocol=4)),
    "sqlite": save_sqlite,
}


@pytest.mark.parametrize("case", WRITERS)
def test_a_file_of_the_formats_own_library_is_recognised_by_content(case, tmp_path):
    path = tmp_path / "artefact"
    WRITERS[case](path)
    assert recognised(path) == case.split()[0]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"GGUF\x03\0\0\0", "gguf"),
        (b"\x1c\0\0\0TFL3", "tflite"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
        (bytes(512) + b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"\x08\x07\x12\x07pytorch\x1a\x05", "onnx"),
        (b"\x08\x01\x12\x30", "tensorflow"),
        (b"MATLAB 5.0 MAT-file, Platform", "matlab"),
        (b"PAR1\x15\x04", "parquet"),
        (b"ARROW1\0\0", "arrow"),
        (b"CBM1\0\0", "boosting"),
        (b"tree\nversion=v4\n", "boosting"),
        (b"{L\0\0\0\0\0\0\0\x07learner", "boosting"),
        (b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09\0\0\x80\xc6\x57\x34\xd8\x41\x1a\x0dbrain.Event:2", "tensorboard"),
    ],
)
def test_the_published_marks_of_a_format_are_recognised(content, name):
    assert known_by_content(content, len(content)).name == name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"P",
        b"PK\x03\x04",
        b"PK\x03\x04" + bytes(22) + b"\xff\xff" + b"short",
        b"plain text",
        b'{"a": 1}',
        b"\x89PNG\r\n\x1a\n",
        b"\xff" * 8 + b'{"a"',
    ],
)
def test_other_content_is_not_taken_for_a_known_format(content):
    assert known_by_content(content, len(content)) is None


@pytest.mark.parametrize(
    ("file_name", "title"),
    [
        ("model.onnx", "ONNX"),
        ("MODEL.ONNX", "ONNX"),
        ("checkpoint.pth.tar", "PyTorch"),
        ("pytorch_model.bin", "PyTorch"),
        ("saved_model.pb", "SavedModel"),
        ("frozen.pb", "TensorFlow"),
        ("weights.h5", "HDF5"),
        ("config.yml", "YAML"),
        ("train.csv", "CSV"),
        ("model.tflite", "TFLite"),
    ],
)
def test_a_format_is_known_by_suffix(file_name, title):
    assert known_by_suffix(file_name).title == title


def test_an_unknown_suffix_is_unknown():
    assert known_by_suffix("readme") is None
    assert known_by_suffix("x.zzz") is None


def test_every_row_names_a_distribution_that_could_exist_and_can_be_recognised():
    for known in KNOWN:
        assert re.fullmatch(r"diffai-load-[a-z0-9]+", known.dist)
        assert known.title
        assert known.suffixes or known.magic or known.looks_like
        assert known_by_name(known.name) is not None
        assert all(suffix == suffix.lower() for suffix in known.suffixes)


def test_a_json_header_is_no_safetensors_file_unless_its_length_fits():
    header = json.dumps({"__metadata__": {}}).encode()
    good = len(header).to_bytes(8, "little") + header
    assert known_by_content(good, len(good)).name == "safetensors"
    bad = (len(header) + 1).to_bytes(8, "little") + header
    assert known_by_content(bad, len(bad)) is None


SUBJECTS = {subject.name: subject for subject in subjects()}


@pytest.mark.parametrize("name", SUBJECTS)
def test_what_a_loader_of_this_repository_reads_names_that_loader_to_be_installed(name, tmp_path):
    spec = SUBJECTS[name].test.loader_spec
    with warnings.catch_warnings(action="ignore"):  # of the library that writes the file
        path = SUBJECTS[name].test.written(tmp_path)
    if path.is_dir() or spec.name in {"example", "pickle"}:  # folders have no bytes, compressed pickles no mark
        return
    head = path.read_bytes()
    known = known_by_content(head[:4096], len(head)) or known_by_suffix(path.name)
    assert known is not None
    assert known.dist in {name.partition(":")[0], f"diffai-load-{spec.dialect_of}"}
