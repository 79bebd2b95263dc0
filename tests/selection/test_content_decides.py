"""Every format of this repository is told by its content: without a suffix, and with that of another format."""

from __future__ import annotations

import shutil
import warnings

import pytest
from subjects import subjects

from diffai_core.files import Source
from diffai_core.registry import load_registry
from diffai_core.selection import choose_folder_loader, choose_loader

SUBJECTS = {subject.name: subject for subject in subjects()}
BY_SUFFIX_ALONE = {"example"}
"""Formats without a sign of their own."""


def written(name, folder):
    with warnings.catch_warnings(action="ignore"):  # of the library that writes the file
        return SUBJECTS[name].test.written(folder)


@pytest.mark.parametrize("new_name", ["artefact", "artefact.safetensors", "artefact.pt", "artefact.zip"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_renamed_file_is_opened_by_the_loader_that_its_content_calls_for(name, new_name, tmp_path):
    path, spec = written(name, tmp_path), SUBJECTS[name].test.loader_spec
    if path.is_dir():
        assert choose_folder_loader(Source(path), load_registry()).spec.name == spec.name
        return
    if spec.name in BY_SUFFIX_ALONE:
        pytest.skip("nothing in the file says what it is")
    renamed = shutil.copy(path, tmp_path / new_name)
    assert choose_loader(Source(renamed), load_registry()).spec.name == spec.name


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_format_can_be_forced(name, tmp_path):
    path, spec = written(name, tmp_path), SUBJECTS[name].test.loader_spec
    choose = choose_folder_loader if path.is_dir() else choose_loader
    assert choose(Source(path), load_registry(), spec.name).spec.name == spec.name
    other = "gguf" if spec.name != "gguf" else "npy"
    if not path.is_dir():
        assert choose_loader(Source(path), load_registry(), other).spec.name == other
