"""Every analysis bears every format: the small rich file of each loader, against itself and against an empty model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from subjects import Subject, subjects

from diffai_core import compare
from diffai_core.registry import load_registry
from tests.helpers.safetensors_files import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

SUBJECTS = {subject.name: subject for subject in subjects()}
SPECS = load_registry().comparators
ALL = [name for name, registered in SPECS.items() if not registered.spec.gate]


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_model_against_itself_is_the_same_whatever_is_asked(name: str, tmp_path: Path) -> None:
    subject: Subject = SUBJECTS[name]
    path = subject.test.written(tmp_path)
    spec = subject.test.loader_spec.name
    report = compare(path, path, analyses=ALL, input_format=spec)
    loud = [finding for finding in report.findings if finding.level in {"change", "error"}]
    assert not loud, loud[0].message
    assert report.exit_code in {0, 3}, report.not_compared
    asked = {one for one in ALL if not SPECS[one].spec.default}
    silent = asked - {finding.plugin for finding in report.findings} - {"example", "stats"}
    assert not silent, f"{sorted(silent)} gave no answer"


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_analysis_fails_where_nothing_is_paired(name: str, tmp_path: Path) -> None:
    subject: Subject = SUBJECTS[name]
    path = subject.test.written(tmp_path)
    other = write_safetensors(tmp_path / "other.safetensors", {"w": np.ones((2, 3), np.float32)})
    for pair in ((path, other), (other, path)):
        report = compare(*pair, analyses=ALL)
        failed = [finding.message for finding in report.findings if finding.kind == "plugin_failed"]
        assert not failed
