"""The same network in two formats: every tensor finds its counterpart by what it holds, and a change is not missed."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from command import findings_of, report_of, run_diffai
from model_files import WRITERS, network

from diffai_core import compare

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = list(permutations(WRITERS, 2))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for name, write in WRITERS.items():
        write(folder / name, network())
    return folder


@pytest.mark.parametrize(("old", "new"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_every_tensor_of_one_format_is_paired_with_its_equal_in_the_other(files, old, new):
    report = compare(files / old, files / new)  # in this process: there are many
    counts, n = report.counts, len(network())
    assert (counts.identical + counts.renamed, counts.changed, counts.added, counts.removed) == (n, 0, 0, 0)
    told = {finding.kind for finding in report.findings}
    assert not told & {"tensor_stats_changed", "tensor_dtype_changed", "tensor_shape_changed", "unreadable"}


def test_how_many_were_paired_in_which_way_is_said_and_which_were_not(tmp_path):
    weights = network()
    WRITERS["model.safetensors"](tmp_path / "old", weights)
    WRITERS["model.keras"](tmp_path / "new", weights | {"fc1.bias": weights["fc1.bias"] + 1})
    (found,) = findings_of(report_of(tmp_path / "old", tmp_path / "new"), "tensors_paired_by_content").values()
    assert found["values"]["n_paired"] == 7
    assert found["values"]["n_permuted"] == 3
    assert found["values"]["unpaired_old"] == ["fc1.bias"]
    assert len(found["values"]["unpaired_new"]) == 1


def test_a_half_precision_export_is_paired_and_its_rounding_measured(tmp_path):
    weights = network()
    WRITERS["model.pt"](tmp_path / "old.pt", weights)
    WRITERS["model.onnx"](tmp_path / "new.onnx", {name: array.astype(np.float16) for name, array in weights.items()})
    report = report_of(tmp_path / "old.pt", tmp_path / "new.onnx")
    assert report["counts"]["added"] == report["counts"]["removed"] == 0
    dtypes = findings_of(report, "tensor_dtype_changed").values()
    assert {(found["old"], found["new"]) for found in dtypes} == {("float32", "float16")}
    assert len(dtypes) == len(weights)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_another_name_opens_by_its_content(files, tmp_path, name):
    copy = tmp_path / "artefact"
    copy.write_bytes((files / name).read_bytes())
    done = run_diffai(files / name, copy, "--brief")
    if name == "model.pdiparams":  # nothing in it says what it is
        assert done.returncode in {0, 2}
        return
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith("identical files")


@pytest.mark.parametrize("name", WRITERS)
def test_one_changed_value_is_found_within_every_format(files, tmp_path, name):
    weights = network()
    weights["fc2.weight"][3, 5] += np.float32(0.25)
    WRITERS[name](tmp_path / name, weights)
    report = report_of(files / name, tmp_path / name)
    assert report["exit_code"] == 1
    (found,) = findings_of(report, "tensor_stats_changed").values()
    assert found["values"]["n_changed"] == 1
    assert found["values"]["max_abs_diff"] == pytest.approx(0.25, abs=1e-6)
