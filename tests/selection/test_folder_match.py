"""Which directory is one artefact: where something matches what a loader looks for, and never by a walk."""

from __future__ import annotations

import os

import pytest

from diffai_core import folder_match
from diffai_core.errors import LoadError, UsageError
from diffai_core.files import Source
from diffai_core.folder_match import matches_folder
from diffai_core.selection import choose_folder_loader, open_artifact


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "model"
    for name in ("model.index.json", "weights.bin", ".metadata", "sub/deep.index", "variables/variables.index"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return Source(root, "model")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("model.index.json", True),
        ("*.index.json", True),
        ("*.json", True),
        ("weights.[ab]in", True),
        (".metadata", True),
        ("variables", True),
        ("variables/variables.index", True),
        ("*/variables.index", True),
        ("variables/*.index", True),
        ("*.index", False),
        ("deep.index", False),
        ("weights.bin/x", False),
        ("Model.index.json", False),
        ("nothing*", False),
    ],
)
def test_a_pattern_is_held_against_the_levels_it_spells_out(folder, pattern, matches):
    assert matches_folder(folder, (pattern,)) is matches


def test_a_wildcard_without_a_slash_lists_one_directory_only(folder, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(folder_match.os, "scandir", lambda path: listed.append(os.fspath(path)) or scandir(path))
    assert not matches_folder(folder, ("*.nothing", "*.index"))
    assert set(listed) == {os.fspath(folder.path)}


def test_of_a_huge_directory_only_a_bounded_part_is_held_against_wildcards(folder, monkeypatch):
    monkeypatch.setattr(folder_match, "MAX_ENTRIES", 0)
    assert not matches_folder(folder, ("*.json",))
    assert matches_folder(folder, ("model.index.json",))


def test_the_loader_whose_pattern_matches_opens_the_directory(registry_of, loader, folder):
    registry = registry_of(loader("sharded", folders=("*.index.json",)), loader("other", folders=("saved_model.pb",)))
    assert choose_folder_loader(folder, registry).spec.name == "sharded"
    assert open_artifact(folder, registry).name == "model"


def test_without_a_match_the_files_are_left_to_the_core(registry_of, loader, folder):
    registry = registry_of(loader("other", folders=("saved_model.pb",)), loader("plain", suffixes=(".bin",)))
    assert choose_folder_loader(folder, registry) is None
    with pytest.raises(LoadError, match=r"^model: is a directory that no installed plugin reads as one model$"):
        open_artifact(folder, registry)


def test_two_loaders_with_a_match_are_ambiguous_until_one_is_named(registry_of, loader, folder):
    registry = registry_of(loader("a", folders=("*.json",)), loader("b", folders=("weights.bin",)))
    with pytest.raises(UsageError, match=r"^model: several formats fit: a .*, b .*; choose one with --input-format a$"):
        choose_folder_loader(folder, registry)
    assert choose_folder_loader(folder, registry, "b").spec.name == "b"


def test_of_two_loaders_with_a_match_the_one_of_the_highest_rank_opens_the_directory(registry_of, loader, folder):
    registry = registry_of(
        loader("a", folders=("*.json",)),
        loader("b", folders=("weights.bin",), folder_rank=2),
        loader("c", folders=("nothing",), folder_rank=3),
        loader("d", folders=("*.json",), folder_rank=-1),
    )
    assert choose_folder_loader(folder, registry).spec.name == "b"
    assert choose_folder_loader(folder, registry, "a").spec.name == "a"


def test_a_named_format_without_a_match_leaves_the_files_to_the_core(registry_of, loader, folder):
    registry = registry_of(loader("a", folders=("*.json",)), loader("b", suffixes=(".bin",)))
    assert choose_folder_loader(folder, registry, "b") is None
    with pytest.raises(UsageError, match="no such format"):
        choose_folder_loader(folder, registry, "c")


def test_a_directory_that_may_not_be_read_is_an_error_of_one_line(registry_of, loader, folder, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder_match.os, "scandir", denied)
    with pytest.raises(LoadError, match=r"^model: permission denied$"):
        choose_folder_loader(folder, registry_of(loader("a", folders=("*.json",))))


def test_a_path_that_may_not_be_looked_at_is_an_error_of_one_line(registry_of, folder, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    registry = registry_of()
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.stat", denied)
        with pytest.raises(LoadError, match=r"^model: permission denied$"):
            open_artifact(folder, registry)
