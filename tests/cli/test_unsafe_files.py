"""Files that ask for code: nothing of it runs, all of it is listed, and ``--fail-on-unsafe`` makes it trouble."""

from __future__ import annotations

import os
import pickle
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import report_of, run_diffai

if TYPE_CHECKING:
    from pathlib import Path


class _Marks:
    """Writes a file where it is unpickled as pickles are meant to be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def _torch(path: Path, value: object, **options: Any) -> None:
    import torch

    torch.save({"w": torch.arange(6.0), "x": value}, path, **options)


def _joblib(path: Path, value: object) -> None:
    import joblib

    joblib.dump({"w": np.arange(6.0), "x": value}, path)


def _npy(path: Path, value: object) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([value, 1], dtype=object), allow_pickle=True)


WRITERS = {
    "model.pt": _torch,
    "legacy.pt": lambda path, value: _torch(path, value, _use_new_zipfile_serialization=False),
    "model.pkl": lambda path, value: path.write_bytes(pickle.dumps({"w": np.arange(6.0), "x": value})),
    "model.joblib": _joblib,
    "objects.npy": _npy,
}


@pytest.fixture(params=WRITERS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A plain file and one that wants ``os.system`` to be called."""
    plain, unsafe = tmp_path / f"plain-{request.param}", tmp_path / f"unsafe-{request.param}"
    WRITERS[request.param](plain, 0)
    WRITERS[request.param](unsafe, _Marks(tmp_path / "ran"))
    return plain, unsafe


def test_nothing_runs_and_the_callable_is_listed_with_its_place(pair):
    plain, unsafe = pair
    report = report_of(plain, unsafe)
    (found,) = [finding for finding in report["findings"] if finding["kind"] == "foreign_code"]
    assert found["where"] == str(unsafe)
    assert found["values"]["callables"] == [f"{os.system.__module__}.system"]
    assert 0 < found["values"]["offsets"][0] < unsafe.stat().st_size
    assert report["exit_code"] == 1
    assert not unsafe.with_name("ran").exists()


def test_fail_on_unsafe_ends_with_2_and_one_line_that_names_the_file(pair):
    plain, unsafe = pair
    done = run_diffai(plain, unsafe, "--fail-on-unsafe")
    assert done.returncode == 2
    line = f"{unsafe}: wants {os.system.__module__}.system to be imported or called; nothing was"
    assert done.stderr == f"diffai: {line}\n"
    assert f"! {line}" in done.stdout
    assert not unsafe.with_name("ran").exists()


def test_a_plain_file_passes_with_fail_on_unsafe(pair, tmp_path):
    copy = shutil.copy(pair[0], tmp_path / f"copy-{pair[0].name}")
    done = run_diffai(pair[0], copy, "--fail-on-unsafe", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
