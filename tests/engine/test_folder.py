"""Folders in pairs: what one side cannot read is no difference, and no two things share a key."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors_files import write_safetensors

from diffai_core.api import choose_comparators
from diffai_core.errors import LoadError
from diffai_core.files import Source
from diffai_core.folder import match_folders, open_folder
from diffai_core.folder_rules import FolderRules
from diffai_core.listing import MAX_LINKS, MAX_LOOKED_AT, list_files
from diffai_core.registry import load_registry
from diffai_core.run import compare_artifacts
from diffai_core.selection import open_artifact

if TYPE_CHECKING:
    from diffai_core.artifact import Artifact
    from diffai_core.findings import Report

RECURSIVE = FolderRules(recursive=True)
W = np.arange(6, dtype=np.float32)


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def pair(tmp_path):
    """Two folders with a JSON file each, the same."""
    folders = tmp_path / "old", tmp_path / "new"
    for folder in folders:
        folder.mkdir()
        (folder / "config.json").write_text('{"a": 1}')
    return folders


def opened(path: Path, registry, rules=RECURSIVE) -> Artifact:
    source = Source(path, path.name)
    return open_folder(source, registry, rules) if path.is_dir() else open_artifact(source, registry)


def compared(pair, registry, rules=RECURSIVE) -> Report:
    with ExitStack() as stack:
        sides = [stack.enter_context(opened(path, registry, rules)) for path in pair]
        return compare_artifacts(*match_folders(*sides), choose_comparators(registry))


def changes(report: Report) -> list[tuple[str, str]]:
    return [(finding.kind, finding.where) for finding in report.findings if finding.level == "change"]


def damaged(path: Path) -> None:
    path.write_bytes(b'{"a": ')


@pytest.mark.parametrize("side", [0, 1])
def test_a_file_damaged_on_one_side_is_not_reported_as_added_or_removed(pair, registry, side):
    for folder in pair:
        (folder / "x.json").write_text('{"b": 2}')
    damaged(pair[side] / "x.json")
    report = compared(pair, registry)
    assert changes(report) == []
    assert report.exit_code == 2
    assert [where.where for where in report.not_compared] == [f"{pair[side].name}/x.json"]


def test_tensors_of_a_file_damaged_on_one_side_are_not_reported_as_added_or_removed(pair, registry):
    for folder in pair:
        write_safetensors(folder / "x.safetensors", {"w": W})
    (pair[1] / "x.safetensors").write_bytes((pair[1] / "x.safetensors").read_bytes()[:-4])
    report = compared(pair, registry, FolderRules(include=("*",)))
    assert (changes(report), report.counts.removed, report.exit_code) == ([], 0, 2)


def test_files_beside_a_damaged_one_are_still_compared(pair, registry):
    for folder in pair:
        (folder / "x.json").write_text('{"b": 2}')
    damaged(pair[0] / "x.json")
    (pair[1] / "config.json").write_text('{"a": 2}')
    (pair[1] / "more.json").write_text("{}")
    assert changes(compared(pair, registry)) == [("modified", '["config.json"].a'), ("added", '["more.json"]')]


def test_a_folder_that_only_one_side_entered_is_not_reported_as_removed(pair, registry, tmp_path):
    for folder in pair:
        (folder / "sub").mkdir()
        (folder / "sub" / "x.json").write_text('{"b": 2}')
    (pair[1] / "sub").rename(tmp_path / "elsewhere")
    (pair[1] / "sub").symlink_to(tmp_path / "elsewhere")
    report = compared(pair, registry)
    assert (changes(report), report.exit_code) == ([], 3)
    assert [(lost.where, lost.reason) for lost in report.not_compared] == [
        ("sub/", "is a link that leads out of the folder")
    ]


def test_matching_leaves_the_sides_as_they_are_when_everything_could_be_read(pair, registry):
    with opened(pair[0], registry) as old, opened(pair[1], registry) as new:
        assert match_folders(old, new) == (old, new)


def test_a_file_may_be_matched_with_a_folder(pair, registry):
    (pair[0] / "x.safetensors").unlink(missing_ok=True)
    write_safetensors(pair[0] / "x.safetensors", {"w": W})
    report = compared((pair[0] / "x.safetensors", pair[0]), registry)
    assert changes(report) == [("added", '["config.json"]')]


def test_a_file_named_like_a_key_of_the_model_has_a_key_of_its_own(pair, registry):
    for folder in pair:
        write_safetensors(folder / "model.safetensors", {"w": W}, {"run": "1"})
        (folder / "__metadata__").write_text('{"run": "file"}')
    with opened(pair[0], registry) as folder:
        assert folder.tree["__metadata__"] == {"run": "1"}
        assert folder.tree["./__metadata__"] == {"run": "file"}
    assert compared(pair, registry).exit_code == 0
    (pair[1] / "__metadata__").write_text('{"run": "changed"}')
    assert changes(compared(pair, registry)) == [("modified", '["./__metadata__"].run')]


def test_a_file_has_the_same_key_where_only_one_model_has_a_key_like_it(pair, registry):
    for folder, metadata in zip(pair, ({"run": "1"}, None), strict=True):
        write_safetensors(folder / "model.safetensors", {"w": W}, metadata)
        (folder / "__metadata__").write_text('{"run": "file"}')
    assert changes(compared(pair, registry)) == [("removed", "__metadata__")]
    assert sorted(changes(compared((pair[0] / "model.safetensors", pair[1]), registry))) == [
        ("added", '["./__metadata__"]'),
        ("added", '["config.json"]'),
        ("removed", "__metadata__"),
    ]


def test_tensors_of_different_files_never_share_a_name(pair, registry):
    folder = pair[0]
    (folder / "s").mkdir()
    write_safetensors(folder / "model.safetensors", {"x.npy:array": W, "y:array": W + 1})
    np.save(folder / "x.npy", W + 2)
    write_safetensors(folder / "s" / "a", {"b:c": W + 3})
    write_safetensors(folder / "s" / "a:b", {"c": W + 4})
    write_safetensors(folder / "s" / "a%3Ab", {"c": W + 5})
    with opened(folder, registry) as artifact:
        first = {name: float(ref.read()[0]) for name, ref in artifact.tensors.items()}
        assert all(ref.name == name for name, ref in artifact.tensors.items())
    assert first == {
        "x.npy:array": 0.0,
        "y:array": 1.0,
        "./x.npy:array": 2.0,
        "s/a:b:c": 3.0,
        "s/a%3Ab:c": 5.0,
        "./s/a%3Ab:c": 4.0,
    }


def test_a_file_with_a_backslash_in_its_name_is_not_taken_for_another(pair, registry):
    for folder in pair:
        (folder / "a").mkdir()
        (folder / "a" / "b.json").write_text('{"c": 1}')
        (folder / "a\\b.json").write_text('{"c": 1}')
    (pair[1] / "a\\b.json").write_text('{"c": 2}')
    assert changes(compared(pair, registry)) == [("modified", '["a\\\\b.json"].c')]


def test_a_folder_made_endless_by_links_is_refused_in_time(tmp_path):
    # Each folder is reached by two links from every folder before it: 2 ** 40 ways to the last one.
    for number in range(40):
        (tmp_path / f"f{number}").mkdir()
        for name in ("x", "y"):
            (tmp_path / f"f{number}" / name).symlink_to(f"../f{number + 1}")
    with pytest.raises(LoadError, match=f"holds more than {MAX_LINKS:,} links to folders"):
        list_files(Source(tmp_path), RECURSIVE)
    found = list_files(Source(tmp_path), FolderRules(include=("*.json",)))
    assert "f0/" in [folder.where for folder in found.not_entered]


def test_folders_too_large_for_a_look_are_mentioned(tmp_path):
    (tmp_path / "many").mkdir()
    for number in range(MAX_LOOKED_AT // 10):
        (tmp_path / "many" / str(number)).touch()
    for number in range(10):
        (tmp_path / f"link-{number}").symlink_to("many")
    found = list_files(Source(tmp_path), FolderRules(include=("*.json",)))
    assert [folder.where for folder in found.not_entered] == ["many/"]


def test_a_folder_deeper_than_python_recurses_is_listed(tmp_path):
    folders = [tmp_path]
    try:
        for _ in range(1_000):
            folders.append(folders[-1] / "d")
            folders[-1].mkdir()
        (folders[-1] / "x.json").write_text("{}")
        assert list_files(Source(tmp_path), RECURSIVE).files == ("d/" * 1_000 + "x.json",)
    finally:  # pytest would recurse to remove them
        (folders[-1] / "x.json").unlink(missing_ok=True)
        for folder in reversed(folders[1:]):
            folder.rmdir()


def test_a_folder_that_cannot_be_listed_is_an_error_and_nothing_below_it_a_difference(pair, registry, monkeypatch):
    for folder in pair:
        (folder / "sub").mkdir()
        (folder / "sub" / "x.json").write_text("{}")
    real = os.scandir

    def refuse(path):
        if path == pair[1] / "sub":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    report = compared(pair, registry)
    assert (changes(report), report.exit_code) == ([], 2)
    assert [str(finding.message) for finding in report.findings] == ["new/sub/: permission denied"]


def test_a_failing_plugin_leaves_no_file_open(pair, registry, monkeypatch):
    from diffai_core import folder as module
    from diffai_core.testing.watch import descriptor_count

    (pair[0] / "z.json").write_text(json.dumps({}))
    write_safetensors(pair[0] / "a.safetensors", {"w": W})
    real = module.open_with

    def fail_at_z(loader, source, options):
        if source.path.name == "z.json":
            raise RuntimeError
        return real(loader, source, options)

    monkeypatch.setattr(module, "open_with", fail_at_z)
    before = descriptor_count()
    for rules in (RECURSIVE, FolderRules(exclude=("none",))):
        with pytest.raises(RuntimeError):
            opened(pair[0], registry, rules)
        assert descriptor_count() == before


# -- files that belong to another one of the folder -------------------------------------------------------------


def sharded(folder: Path, *names: str) -> None:
    """Write an index and a shard for each tensor."""
    weight_map = {name: f"model-0000{number}-of-0000{len(names)}.safetensors" for number, name in enumerate(names, 1)}
    for name, shard in weight_map.items():
        write_safetensors(folder / shard, {name: W})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


BY_FILE = FolderRules(include=("*",))


def test_a_shard_is_compared_under_its_index_alone(pair, registry):
    for folder in pair:
        sharded(folder, "a", "b")
    write_safetensors(pair[1] / "model-00002-of-00002.safetensors", {"b": W + 1})
    with opened(pair[0], registry, BY_FILE) as folder:
        assert sorted(folder.tensors) == ["model.safetensors.index.json:a", "model.safetensors.index.json:b"]
    report = compared(pair, registry, BY_FILE)
    assert [finding.where for finding in report.findings if finding.kind == "tensor_stats_changed"] == [
        "model.safetensors.index.json:b"
    ]


def test_two_files_that_each_open_both_are_one_entry_and_hide_no_other(pair, registry):
    for file in (Path(__file__).parents[2] / "plugins/diffai-load-paddle/tests/fixtures/program").iterdir():
        shutil.copy(file, pair[0])
    sharded(pair[0], "a")
    with opened(pair[0], registry, BY_FILE) as folder:
        assert set(folder.tree) == {"config.json", "model.safetensors.index.json", "net.pdiparams"}


def test_shards_stand_for_themselves_where_the_index_of_one_side_is_damaged(pair, registry):
    for folder in pair:
        sharded(folder, "a", "b")
    shard = pair[1] / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-4])
    write_safetensors(pair[1] / "model-00001-of-00002.safetensors", {"a": W + 1})
    report = compared(pair, registry, BY_FILE)
    assert (changes(report), report.counts.added, report.counts.removed) == (
        [("tensor_stats_changed", "model-00001-of-00002.safetensors:a")],
        0,
        0,
    )
    assert {Path(lost.where).name for lost in report.not_compared} == {shard.name}
    assert report.exit_code == 2


def test_every_file_of_a_folder_is_closed(pair, registry):
    sharded(pair[0], "a", "b")
    with opened(pair[0], registry, BY_FILE) as folder:
        files = [file for part in folder.parts.values() for file in part.artifact.files]
        assert len(files) > len(folder.files)
    for file in files:
        with pytest.raises((LoadError, ValueError)):
            file.read(0, 1)
